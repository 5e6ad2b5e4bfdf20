from collections.abc import Sequence
from pathlib import Path

from mnemon.recipes import recipe
from mnemon.studies.bench.store import Plan, bench_stores
from mnemon.studies.pages import Record, row
from mnemon.studies.runs import of_a_study, prepare, train_run
from mnemon.studies.workers import Progress

HEAD = ("store", "recall", "us to write", "s to open", "MiB, peak", "ms a token", "of them processor")
LARGE = Plan(("exact", "mmap", "slots:stored=int8"), size=1 << 20)
TRAINED = ("slots:stored=bfloat16", "slots:stored=int8", "faiss-ivf", "faiss-hnsw")
LOCAL = ("flat", "ivf", "hnsw")  # indexes of Milvus, in a local file
STEPS = 400


def store_rows(found: Record) -> list[tuple[str, ...]]:
    """Each store and what it takes."""
    return [
        (
            name,
            f"{of['recall']:.3f}",
            f"{of['write_us']:,.1f}",
            f"{of['open_seconds']:.3f}",
            f"{of['peak_mib']:,.0f}",
            f"{of['ms_a_token']:,.2f}",
            f"{of['cpu_ms_a_token']:,.2f}",
        )
        for name, of in found["stores"].items()
    ]


def store_line(found: Record) -> str:
    """What was stored."""
    whose = "of a trained model" if found["run"] else "random"
    return f"{found['size']:,} entries of {found['heads']} heads of size {found['dim']}, {whose}, top {found['top_k']}"


def stores_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    """Stores of 1,048,576 entries, and all kinds of them with the keys of a model that is trained for it."""
    run, base = out / "stores" / "run", of_a_study(recipe("memorizing-tiny"), "python-env", STEPS, seeds[0])
    run.parent.mkdir(parents=True, exist_ok=True)
    prepare(base, run.parent, progress)
    train_run(base, run, progress)
    # A file each: one that a process has just left may still be locked when the next one opens it.
    local = {f"milvus:uri={run.parent / f'{index}.db'},collection={index},index={index}": index for index in LOCAL}
    trained = bench_stores(Plan((*TRAINED, *local), size=65_536, tokens=100, run=run), progress)
    named = {
        f"milvus:uri=memory.db,index={local[name]}" if name in local else name: of
        for name, of in trained["stores"].items()
    }
    return {**bench_stores(LARGE, progress), "trained": {**trained, "stores": named, "run": "memorizing-tiny"}}


def store_lines(record: Record) -> list[str]:
    """Many entries, then a trained model's."""
    lines = []
    for found in (record, record["trained"]):
        lines += [f"{store_line(found)}:", "", row(HEAD), row(["---"] * len(HEAD)), *map(row, store_rows(found)), ""]
    return [
        *lines,
        "How it was made:",
        "",
        "- Each store was filled by one process and opened by another, on one thread. Peak: what the second needed "
        "beyond what it had before. A token: searched, and attended to.",
        "- Stores in memory were opened from a safetensors file. Writing: segments of 512 entries; `mmap` waits for "
        "the disk each time.",
        f"- The trained model: `memorizing-tiny`, {STEPS} steps on python-env; its own keys, values and queries of "
        "texts that it was trained on. Recall: of the neighbours that `exact` gives.",
    ]
