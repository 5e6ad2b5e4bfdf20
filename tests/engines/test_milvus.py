"""A memory in a real Milvus server: the laws of every store, and what happens when the server is killed."""

import json
import random
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from milvus_server import Server
from mnemon.cli import main
from mnemon.config import Problem
from mnemon.index import MilvusKind, MilvusStore, StoreShape
from mnemon.index.milvus import Place
from mnemon.index.milvus_connection import Connection
from mnemon.studies.faults.server_acts import Server as Struck
from stores import DIM, HEADS, LITE, ROWS, Stream

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(params=["flat", "hnsw", "ivf"])
def rows(request: pytest.FixtureRequest, server: Server) -> Stream:
    kind = MilvusKind(uri=server.uri, collection=f"laws_{request.param}", index=request.param)
    return Stream(kind, 7, tolerance=1e-5)


def test_every_key_finds_its_own_value_while_rows_fill_wrap_and_are_reset(rows: Stream) -> None:
    for step in ([3, 0, 5], [0, 1, 5], (True, False, False), [18, 8, 7], (False, True, True), [2, 3, 0]):
        if isinstance(step, tuple):
            rows.reset(step)
        else:
            rows.write(step)
        rows.check()


def test_copies_are_saved_loaded_chosen_and_shuffled(rows: Stream) -> None:
    rows.write([5, 0, 9])
    store = rows.store
    assert isinstance(store, MilvusStore)
    twin = MilvusKind(uri=store.place.connection.uri).loaded(store.tensors(), 7)
    rows.check(twin)
    rows.check(store.chosen(torch.tensor([2, 0, 0])), [2, 0, 0])
    mixed = store.shuffled(seed=1)
    q = torch.randn(ROWS, HEADS, 2, DIM)
    found, plain = (each.find(q, 7, torch.arange(ROWS)) for each in (mixed, store))
    assert found is not None
    assert plain is not None
    assert sorted(found.places()[2, 0, 0].tolist()) == sorted(plain.places()[2, 0, 0].tolist())
    assert not torch.equal(found.places(), plain.places())


def test_only_entries_before_a_position_are_found_where_one_is_given(rows: Stream) -> None:
    rows.write([9, 4, 0])
    before = torch.tensor([[5, 0], [1, 4], [0, 0]])
    found = rows.store.find(torch.randn(ROWS, HEADS, 2, DIM), 7, torch.arange(ROWS), before)
    assert found is not None
    for b, held in enumerate(rows.held):
        for t, limit in enumerate(before[b].tolist()):
            got = found.places()[b, 1, t][found.valid[b, 1, t]].tolist()
            assert sorted(got) == [place for place in held if place < limit]


def test_a_document_is_forgotten_and_the_rest_stays(rows: Stream) -> None:
    rows.write([7, 7, 7])
    store = rows.store
    assert isinstance(store, MilvusStore)
    store.forget(1, 2, 5)
    found = store.find(torch.randn(ROWS, HEADS, 1, DIM), 7, torch.arange(ROWS))
    assert found is not None
    assert sorted(found.places()[1, 0, 0][found.valid[1, 0, 0]].tolist()) == [0, 1, 5, 6]
    assert int(found.valid[0, 0, 0].sum()) == 7


def test_another_model_s_collection_is_refused(server: Server) -> None:
    place = Place(Connection(server.uri), "whose", fingerprint="a")
    MilvusStore.create(place, "mine", StoreShape(1, 1, 4, 2, "float32"))
    with pytest.raises(Problem, match=r"was filled by another model.*fingerprint is 'a', here they are 2 and 'b'"):
        MilvusStore.create(replace(place, fingerprint="b"), "theirs", StoreShape(1, 1, 4, 2, "float32"))


def test_a_server_killed_in_the_middle_of_writing_loses_nothing(server: Server) -> None:
    """The writer waits and goes on; every entry is there once, with its own key and value."""
    shape = StoreShape(1, 2, 600, 8, "float32")
    place = Place(Connection(server.uri, patience=300.0), "killed")
    store = MilvusStore.create(place, "mine", shape)
    k, v = torch.randn(1, 2, 900, 8), torch.randn(1, 2, 900, 8)
    killed = threading.Event()

    def kill() -> None:
        server.kill()
        killed.set()
        server.start()

    for start in range(0, 900, 60):
        if start == 240:
            killer = threading.Thread(target=kill)
            killer.start()
        part = slice(start, start + 60)
        store.write(k[:, :, part], v[:, :, part], torch.arange(start, start + 60)[None], torch.tensor([60]))
    killer.join()
    assert killed.is_set()
    again = MilvusStore.open(Place(Connection(server.uri), "killed"), "mine", 8)
    assert (again.written.tolist(), again.size) == ([900], 600)
    found = again.find(k[:, :, 300:].clone(), 600, torch.tensor([0]))
    assert found is not None
    assert torch.equal(found.places().sort(-1)[0], torch.arange(300, 900).expand(1, 2, 600, 600))
    ids = found.ids[..., :1]
    for head in range(2):
        for t in range(600):
            j = int(found.places()[0, head, t, 0])
            torch.testing.assert_close(found.values[0, head, int(ids[0, head, t])], v[0, head, j])
            torch.testing.assert_close(found.keys[0, head, int(ids[0, head, t])], k[0, head, j])


def test_a_server_that_stays_away_is_said_with_its_address(server: Server) -> None:
    place = Place(Connection(server.uri, patience=1.0), "away")
    store = MilvusStore.create(place, "mine", StoreShape(1, 1, 4, 2, "float32"))
    server.kill()
    try:
        with pytest.raises(Problem, match=server.uri):
            store.write(torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1, 2), torch.zeros(1, 1).long(), torch.tensor([1]))
        with pytest.raises(Problem, match="nothing answers there"):
            Connection(server.uri)
    finally:
        server.start()


def test_what_happens_on_the_way_to_a_server_loses_nothing_and_doubles_nothing(server: Server, tmp_path: Path) -> None:
    """A small share of what `mnemon bench faults --milvus` does."""
    struck = Struck(server.uri, tmp_path)
    for number, kind in enumerate(("cut", "vanish", "contend")):
        outcome = struck.carry_out(kind, random.Random(number))
        assert outcome.wrong == ()
        assert outcome.struck is not None


def test_a_trained_model_s_perplexity_is_that_of_the_memory_in_the_process(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`mnemon eval` with the memory here, in a local file and in the server, at exact settings."""
    texts = tmp_path / "texts"
    texts.mkdir()
    for i in range(12):
        words = [f"the {(i * j) % 37} of {(j * j + i) % 23} is {(7 * j + i) % 41}." for j in range(60)]
        (texts / f"{i}.txt").write_text(" ".join(words))
    run = tmp_path / "run"
    size = (
        "--model.dim=32 --model.n-layers=2 --model.n-heads=2 --model.head-dim=16 --model.segment=64 --model.window=64"
    )
    memory = "--model.pools.knn.layers=1 --model.pools.knn.size=512 --model.pools.knn.top-k=16"
    trained = "--train.steps=150 --train.lanes=4 --data.tokenizer=bytes --data.vocab-size=None"
    flags = [*size.split(), *memory.split(), *trained.split(), "--data", str(texts), "--out", str(run)]
    assert main(["train", "memorizing-tiny", *flags]) == 0
    capsys.readouterr()
    found = {}
    for store in ("exact", "mmap", f"milvus:uri={LITE}", f"milvus:uri={server.uri}"):
        words = ["eval", str(run), "--json", "--split", "all", "--max-documents", "4", "--memory", "512"]
        assert main([*words, "--store", store]) == 0
        found[store] = json.loads(capsys.readouterr().out)["memory"]["512"]["perplexity"]
    here = found.pop("exact")
    assert found == {store: pytest.approx(here, abs=1e-4) for store in found}
    assert main(["eval", str(run), "--json", "--split", "all", "--max-documents", "4", "--memory", "0"]) == 0
    without = json.loads(capsys.readouterr().out)["memory"]["0"]["perplexity"]
    assert abs(without - here) > 1e-3, "the memory makes a difference"
