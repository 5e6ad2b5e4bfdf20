from collections.abc import Sequence
from pathlib import Path

from mnemon.config import Problem
from mnemon.index.milvus_connection import Connection
from mnemon.recipes import recipe
from mnemon.studies.bench.store import Plan, bench_stores
from mnemon.studies.bench.store_alone import AT_ONCE
from mnemon.studies.bench.store_perplexity import DOCUMENTS, MEMORY, TOKENS, perplexities
from mnemon.studies.pages import Record, row
from mnemon.studies.runs import of_a_study, prepare, train_run
from mnemon.studies.workers import Progress

HEAD = (
    "store",
    "recall",
    "us to write",
    "entries a second",
    "s to open",
    "MiB, peak",
    "ms a token",
    "of them processor",
    "queries a second",
)
LARGE = Plan(("exact", "mmap", "slots:stored=int8"), size=1 << 20)
TRAINED = ("slots:stored=bfloat16", "slots:stored=int8", "faiss-ivf", "faiss-hnsw")
LOCAL = ("flat", "ivf", "hnsw")  # indexes of Milvus, in a local file
SERVED = ("flat", "hnsw")  # in a server
SERVER = "http://HOST:19530"  # what a page calls it
STEPS = 400


def store_rows(found: Record) -> list[tuple[str, ...]]:
    """Each store and what it takes."""
    return [
        (
            name,
            f"{of['recall']:.3f}",
            f"{of['write_us']:,.1f}",
            f"{1e6 / of['write_us']:,.0f}",
            f"{of['open_seconds']:.3f}",
            f"{of['peak_mib']:,.0f}",
            f"{of['ms_a_token']:,.2f}",
            f"{of['cpu_ms_a_token']:,.2f}",
            f"{of['queries_a_second']:,.0f}" if "queries_a_second" in of else "",
        )
        for name, of in found["stores"].items()
    ]


def store_line(found: Record) -> str:
    """What was stored."""
    whose = "of a trained model" if found["run"] else "random"
    return f"{found['size']:,} entries of {found['heads']} heads of size {found['dim']}, {whose}, top {found['top_k']}"


def stores_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress, milvus: str) -> Record:
    """Stores of 1,048,576 entries, and all kinds of them with the keys of a model that is trained for it.

    `milvus`: a server, measured where one answers.
    """
    run, base = out / "stores" / "run", of_a_study(recipe("memorizing-tiny"), "python-env", STEPS, seeds[0])
    run.parent.mkdir(parents=True, exist_ok=True)
    prepare(base, run.parent, progress)
    train_run(base, run, progress)
    # A file each: one that a process has just left may still be locked when the next one opens it.
    called = {
        f"milvus:uri={run.parent / f'{index}.db'},collection={index},index={index}": f"milvus:uri=memory.db,{index=!s}"
        for index in LOCAL
    }
    there = _server(milvus)
    if "version" in there:
        called |= {f"milvus:uri={milvus},{index=!s}": f"milvus:uri={SERVER},{index=!s}" for index in SERVED}
    trained = bench_stores(Plan((*TRAINED, *called), size=65_536, tokens=100, run=run), progress)
    named = {called.get(name, name): of for name, of in trained["stores"].items()}
    exact = {f"milvus:uri={run.parent / 'perplexity.db'}": "milvus:uri=memory.db,index=flat"}
    exact |= {name: said for name, said in called.items() if said == f"milvus:uri={SERVER},index=flat"}
    read = perplexities(run, ("exact", *exact), progress)
    return {
        **bench_stores(LARGE, progress),
        "trained": {**trained, "stores": named, "run": "memorizing-tiny"},
        "perplexity": {exact.get(name, name): value for name, value in read.items()},
        "server": there,
    }


def _server(uri: str) -> dict[str, str]:
    """The version of the server that answers there, or why none does."""
    try:
        return {"version": Connection(uri).ask(lambda client: str(client.get_server_version()))}
    except Problem as problem:
        return {"missing": str(problem)}


def store_lines(record: Record) -> list[str]:
    """Many entries, then a trained model's, then what the model makes of texts with its memory in each store."""
    lines = []
    for found in (record, record["trained"]):
        lines += [f"{store_line(found)}:", "", row(HEAD), row(["---"] * len(HEAD)), *map(row, store_rows(found)), ""]
    return [
        *lines,
        *_perplexity_lines(record.get("perplexity", {})),
        "How it was made:",
        "",
        "- Each store was filled by one process and opened by another, on one thread. Peak: what the second needed "
        "beyond what it had before. A token: searched, and attended to. An entry is written and a token asked for all "
        f"heads; queries: {AT_ONCE} tokens searched at once, each head of them counted.",
        "- Stores in memory were opened from a safetensors file. Writing: segments of 512 entries; `mmap` waits for "
        "the disk each time.",
        f"- The trained model: `memorizing-tiny`, {STEPS} steps on python-env; its own keys, values and queries of "
        "texts that it was trained on. Recall: of the neighbours that `exact` gives.",
        _server_line(record.get("server", {})),
    ]


def _perplexity_lines(read: dict[str, float]) -> list[str]:
    """Each store's, beside that of the memory in the process."""
    if not read:
        return []
    here = read["exact"]
    rows = [(name, f"{value:.5f}", f"{value - here:+.5f}") for name, value in read.items()]
    said = f"Perplexity of unseen documents, {TOKENS:,} tokens of each of {DOCUMENTS}, memory {MEMORY}:"
    return [said, "", row(("store", "perplexity", "against exact")), row(["---"] * 3), *map(row, rows), ""]


def _server_line(server: dict[str, str]) -> str:
    """Which server was measured, or how to have it measured."""
    if "version" in server:
        return f"- The server: Milvus {server['version'].removeprefix('v')}, on the same machine."
    return (
        "- A Milvus server was not measured, for none was there: start one (docs/stores.md) and run "
        "`mnemon reproduce stores --milvus http://HOST:19530`."
    )
