from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mnemon.cli import main
from mnemon.config import Problem
from mnemon.studies.bench import store, store_page, store_perplexity
from mnemon.studies.bench.store_alone import Job, ask, fill
from mnemon.studies.bench.store_vectors import vectors_of
from stores import LITE

JOB = Job("fill", "exact", "", 700, 2, 8, 4, 3, "float32", None)


@pytest.mark.parametrize("said", ["mmap", "slots:stored=int8", "milvus"])
def test_a_store_that_was_filled_is_opened_and_finds_what_an_exact_one_does(said: str, tmp_path: Path) -> None:
    found, said = {}, f"milvus:uri={LITE},collection=alone" if said == "milvus" else said
    for name in ("exact", said):
        job = replace(JOB, store=name, place=str(tmp_path / name.partition(":")[0]))
        assert fill(job)["write_us"] > 0
        found[name] = ask(job)
        assert found[name]["ms_a_token"] > 0
    assert store._recall(found[said]["places"], found["exact"]["places"]) > (0.9 if "int8" in said else 0.999)


@pytest.mark.parametrize("there", [True, False])
def test_the_page_tells_all_tables_and_whether_a_server_was_there(
    there: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    of = {
        "recall": 1.0,
        "write_us": 2.0,
        "open_seconds": 0.1,
        "peak_mib": 3.0,
        "ms_a_token": 4.0,
        "cpu_ms_a_token": 4.0,
        "queries_a_second": 5.0,
    }
    plans: list[store.Plan] = []

    def measured(plan: store.Plan, progress: object) -> dict[str, object]:
        plans.append(plan)
        about = {"size": plan.size, "heads": 4, "dim": 64, "top_k": 32, "run": str(plan.run) if plan.run else None}
        return {**about, "stores": dict.fromkeys(plan.stores, of)}

    for name, instead in (("bench_stores", measured), ("prepare", lambda *_: None), ("train_run", lambda *_: None)):
        monkeypatch.setattr(store_page, name, instead)
    read = lambda _run, names, _show: {name: 7.0 + 1e-5 * at for at, name in enumerate(names)}  # noqa: E731
    monkeypatch.setattr(store_page, "perplexities", read)
    if there:
        monkeypatch.setattr(store_page, "_server", lambda _uri: {"version": "v2.3.5"})
    uri = "http://127.0.0.1:1"
    record = store_page.stores_table(tmp_path, 1, [0], lambda *_: None, uri)
    lines = store_page.store_lines(record)
    assert lines[0] == "1,048,576 entries of 4 heads of size 64, random, top 32:"
    assert "65,536 entries of 4 heads of size 64, of a trained model, top 32:" in lines
    assert any(line.startswith("| milvus:uri=memory.db,index=hnsw |") for line in lines)
    assert "| milvus:uri=memory.db,index=flat | 7.00001 | +0.00001 |" in lines
    row = "| milvus:uri=http://HOST:19530,index=hnsw | 1.000 | 2.0 | 500,000 | 0.100 | 3 | 4.00 | 4.00 | 5 |"
    assert (row in lines) == there
    assert any(line.startswith("| milvus:uri=http://HOST:19530,index=flat | 7.00002") for line in lines) == there
    assert ("- The server: Milvus 2.3.5, on the same machine." in lines) == there
    assert any("mnemon reproduce stores --milvus http://HOST:19530" in line for line in lines) == (not there)
    assert str(tmp_path) not in str(record)
    assert there == (uri not in str(record))


TINY = "--train.steps=1 --train.lanes=2 --model.dim=8 --model.n-layers=2 --model.n-heads=2 --model.head-dim=4"
SHAPE = "--model.segment=32 --model.window=16 --model.pools.knn.layers=1 --model.pools.knn.size=64"
BYTES = "--model.pools.knn.top-k=4 --data.tokenizer=bytes --data.vocab-size=None --model.vocab-size=258"


def test_the_keys_of_a_trained_model_are_those_it_makes_of_its_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for i in range(8):
        (texts / f"{i}.txt").write_text(f"text number {i}: " + "abcdefgh " * 30)
    run, file = tmp_path / "run", str(tmp_path / "vectors")
    flags = f"{TINY} {SHAPE} {BYTES}".split()
    assert main(["train", "memorizing-tiny", "--data", str(texts), "--out", str(run), *flags]) == 0
    assert vectors_of(run, 100, file) == (2, 100, 4)
    kept = load_file(file)
    assert {name: tuple(x.shape) for name, x in kept.items()} == dict.fromkeys(
        ("keys", "values", "queries"), (2, 100, 4)
    )
    torch.testing.assert_close(kept["keys"].norm(dim=-1), torch.ones(2, 100))
    job = replace(JOB, size=100, dim=4, place=str(tmp_path / "store"), vectors=file)
    fill(job)
    found = ask(job)
    assert len(found["places"]) == 3
    assert found["queries_a_second"] > 0
    # Its perplexity is the same wherever its memory lies.
    monkeypatch.setattr(store_perplexity, "unseen", lambda corpus: corpus.documents)
    read = store_perplexity.perplexities(run, ("exact", "mmap", f"milvus:uri={LITE},collection=read"))
    assert list(read.values()) == [pytest.approx(read["exact"], abs=1e-4)] * 3


def test_a_run_without_a_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no such run folder"):
        vectors_of(tmp_path / "none", 10, "")
