import resource
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mnemon.config import Problem
from mnemon.index import MilvusKind, MilvusStore, StoreShape, find_store
from mnemon.index.milvus import Place
from mnemon.index.milvus_connection import Connection, pymilvus
from mnemon.index.milvus_tenant import Tenant
from stores import DIM, HEADS, LITE, ROWS, Stream

SHAPE = StoreShape(ROWS, HEADS, 7, DIM, "float32")


@pytest.fixture(scope="module")
def place() -> Place:
    return Place(Connection(str(LITE)), "kept", fingerprint="mine")


def kept(place: Place, name: str) -> Stream:
    """A stream into a store that stays."""
    rows = Stream(MilvusKind(uri=str(LITE)), 7)
    rows.store = MilvusStore.create(place, name, SHAPE)
    return rows


def reopened(place: Place, name: str) -> MilvusStore:
    return MilvusStore.open(place, name, DIM)


def test_a_reopened_store_is_what_it_was_and_goes_on(place: Place) -> None:
    rows = kept(place, "reopened")
    for step in ([3, 0, 5], [18, 8, 7], (False, True, True), [2, 3, 0]):
        if isinstance(step, tuple):
            rows.reset(step)
        else:
            rows.write(step)
        rows.store = reopened(place, "reopened")
        assert rows.store.size == 7
        rows.check()


def test_what_was_not_committed_was_never_written(place: Place) -> None:
    rows = kept(place, "cut")
    rows.write([7, 9, 20])
    store = rows.store
    assert isinstance(store, MilvusStore)
    entries, noise = torch.arange(9, 16), torch.ones(HEADS, 7, DIM)
    store.take(1, entries, noise, noise, entries)
    rows.store = reopened(place, "cut")
    rows.check()


def test_a_document_is_forgotten_and_the_rest_stays_also_when_saved(place: Place) -> None:
    rows = kept(place, "forgets")
    rows.write([7, 7, 7])
    store = rows.store
    assert isinstance(store, MilvusStore)
    store.forget(1, 2, 5)
    twin = MilvusKind(uri=str(LITE)).loaded(store.tensors(), 7)
    for each in (store, twin):
        found = each.find(torch.randn(ROWS, HEADS, 1, DIM), 7, torch.arange(ROWS))
        assert found is not None
        assert sorted(found.places()[1, 0, 0][found.valid[1, 0, 0]].tolist()) == [0, 1, 5, 6]
        assert int(found.valid[0, 0, 0].sum()) == 7


def test_a_writer_that_is_killed_while_it_forgets_leaves_no_head_behind(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document is gone from the first head; whoever opens the store deletes it from the others."""
    rows, delete, asked = kept(place, "torn"), Tenant._delete, []
    rows.write([7, 7, 7])

    def killed(tenant: Tenant, what: str) -> None:
        asked.append(what)
        if len(asked) > 1:
            raise KeyboardInterrupt
        delete(tenant, what)

    assert isinstance(rows.store, MilvusStore)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Tenant, "_delete", killed)
        rows.store.forget(1, 2, 5)
    for _ in range(2):  # what is done is not done again
        store = reopened(place, "torn")
        found = store.find(torch.randn(ROWS, HEADS, 1, DIM), 7, torch.arange(ROWS))
        assert found is not None
        for head in range(HEADS):
            assert sorted(found.places()[1, head, 0][found.valid[1, head, 0]].tolist()) == [0, 1, 5, 6]
        assert int(found.valid[0].sum()) == 7 * HEADS
        assert not [name for name in store.tenant.read_counts() if "forget" in name]


def test_a_name_is_taken_once_and_an_unknown_one_is_said(place: Place) -> None:
    MilvusStore.create(place, "taken", SHAPE)
    with pytest.raises(Problem, match="there is a store 'taken' already"):
        MilvusStore.create(place, "taken", SHAPE)
    with pytest.raises(Problem, match=f"there is no store 'lost' for heads of size {DIM}"):
        MilvusStore.open(place, "lost", DIM)


def test_another_model_s_collection_is_refused(place: Place) -> None:
    MilvusStore.create(place, "whose", SHAPE)
    with pytest.raises(Problem, match=r"filled by another model.*fingerprint is 'mine', here they are 4 and 'theirs'"):
        MilvusStore.create(replace(place, fingerprint="theirs"), "theirs", SHAPE)


@pytest.mark.parametrize(("there", "here"), [("flat", "hnsw"), ("hnsw", "ivf"), ("ivf", "flat")])
def test_a_collection_with_another_index_is_refused_and_not_searched_by_it(place: Place, there: str, here: str) -> None:
    made = replace(place, collection=f"made_{there}", index=there)
    MilvusStore.create(made, "mine", SHAPE)
    MilvusStore.open(made, "mine", DIM)
    with pytest.raises(Problem, match=rf"made_{there}_4 has the index '{there}', here it is '{here}'; .*index={there}"):
        MilvusStore.open(replace(made, index=here), "mine", DIM)


@pytest.mark.parametrize("name", ['a" || pos >= 0 || tenant == "', "taken/0/0", "", "x" * 129, "\\"])
def test_a_name_that_could_reach_another_store_s_entries_is_refused(place: Place, name: str) -> None:
    for act in (lambda: MilvusStore.create(place, name, SHAPE), lambda: MilvusStore.open(place, name, DIM)):
        with pytest.raises(Problem, match=r"no name of a store: letters, digits, spaces, "):
            act()


@pytest.mark.parametrize("collection", ["a b", "a-b", "1a", "", "a" * 201])
def test_a_collection_is_named_as_milvus_will_have_it(collection: str) -> None:
    with pytest.raises(Problem, match=r"no name of a collection: letters, digits and _, no digit first, at most 200"):
        find_store(f"milvus:collection={collection}").check()


def test_a_collection_whose_maker_was_killed_is_taken(place: Place) -> None:
    place.connection.ask(lambda client: place.connection._make(client, "half_4", DIM, "flat"))
    half = replace(place, collection="half")
    MilvusStore.create(half, "mine", SHAPE)
    assert MilvusStore.open(half, "mine", DIM).size == SHAPE.size
    with pytest.raises(Problem, match="filled by another model"):
        MilvusStore.open(replace(half, fingerprint="theirs"), "mine", DIM)


def test_a_foreign_collection_is_refused(place: Place) -> None:
    place.connection.ask(lambda client: client.create_collection("foreign_4", dimension=4))
    with pytest.raises(Problem, match="collection foreign_4 is none of ours; give another name"):
        MilvusStore.create(replace(place, collection="foreign"), "mine", SHAPE)


def test_what_no_room_cut_short_takes_nothing_with_it(tmp_path: Path) -> None:
    """A writer that is refused and goes on when there is room again is killed; its file is opened elsewhere."""
    store = MilvusStore.create(Place(Connection(str(tmp_path / "m.db"))), "mine", StoreShape(1, 1, 200, 16, "float32"))
    x, n = torch.randn(1, 1, 20, 16), torch.tensor([20])
    for part in range(2):
        store.write(x, x, 20 * part + torch.arange(20)[None], n)
    most = max(each.stat().st_size for each in tmp_path.rglob("*") if each.is_file())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most + 300, hard))
    try:
        with pytest.raises(Problem, match="File too large; what it confirmed before is kept"):
            store.write(x, x, 40 + torch.arange(20)[None], n)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for part in range(2, 5):
        store.write(x, x, 20 * part + torch.arange(20)[None], n)
    shutil.copytree(tmp_path / "m.db", tmp_path / "left.db")
    again = MilvusStore.open(Place(Connection(str(tmp_path / "left.db"))), "mine", 16)
    found = again.find(x[:, :, :1], 200, torch.tensor([0]))
    assert again.written.tolist() == [100]
    assert found is not None
    assert sorted(found.places()[0, 0, 0][found.valid[0, 0, 0]].tolist()) == list(range(100))


def test_a_store_without_its_counts_is_told(place: Place) -> None:
    store = MilvusStore.create(place, "uncounted", SHAPE)
    store.place.connection.ask(lambda client: client.delete(f"kept_{DIM}", ids=["uncounted/row-1/1"]))
    with pytest.raises(Problem, match="store 'uncounted' is damaged: it does not say what it holds"):
        reopened(place, "uncounted")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("gone/memory.db", "there is no folder gone; make it first"),
        ("memory.sqlite", "must end in .db, a server is http://HOST:19530"),
        ("http://127.0.0.1:1", r"nothing answers there \(.*\); start one \(docker compose .*\), or give a file name"),
    ],
)
def test_what_is_no_milvus_is_said_with_what_to_do(uri: str, message: str) -> None:
    with pytest.raises(Problem, match=message):
        MilvusKind(uri=uri).empty(1, 1, 4, 2, torch.empty(0))


def test_a_plain_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.db").write_bytes(b"SQLite format 3")
    with pytest.raises(Problem, match="this is a file where milvus-lite 3 has a folder"):
        Connection(str(tmp_path / "old.db"))


def test_an_unknown_index_names_the_nearest() -> None:
    with pytest.raises(Problem, match=r"'hsnw' is no index of it .did you mean 'hnsw'"):
        find_store("milvus:index=hsnw").check()
    find_store("milvus:index=hnsw").check()


def test_what_was_asked_twice_for_a_lost_answer_stands_once(place: Place) -> None:
    store = MilvusStore.create(place, "twice", SHAPE)
    noise, entries = torch.ones(HEADS, 3, DIM), torch.arange(3)
    asked: list[str] = []

    class Losing:
        """A client whose first answer to an insert is lost."""

        def insert(self, name: str, records: list[dict[str, object]], timeout: float) -> None:
            asked.append("insert")
            place.connection.ask(lambda client: client.insert(name, records, timeout=timeout))
            if asked == ["insert"]:
                raise pymilvus().MilvusException(message="lost")

        def delete(self, name: str, ids: list[str], timeout: float) -> None:
            asked.append("delete")
            place.connection.ask(lambda client: client.delete(name, ids=ids, timeout=timeout))

    through = place.connection.brief(10.0)
    through._client = Losing()
    replace(store.tenant, connection=through).write(
        store.tenant.records(0, [0, 1, 2], noise.numpy(), noise.numpy(), entries.numpy()), new=True
    )
    assert asked == ["insert", "delete", "insert"]
    store.commit(torch.tensor([3, 0, 0]))
    found = store.find(torch.ones(1, HEADS, 1, DIM), 7, torch.tensor([0]))
    assert found is not None
    assert int(found.valid.sum()) == 3 * HEADS


def test_slots_that_nothing_stands_in_are_written_to_in_one_step(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, new = kept(place, "clean"), []
    write = Tenant.write
    monkeypatch.setattr(Tenant, "write", lambda self, records, clean=False: (new.append(clean), write(self, records)))
    for lengths in ([3, 0, 0], [4, 0, 0], [7, 0, 0], [3, 0, 0]):
        rows.write(lengths)
    rows.reset([True, False, False])
    rows.write([2, 0, 0])
    rows.store = reopened(place, "clean")
    rows.write([0, 1, 0])
    rows.check()
    counts = False
    assert new == [
        True,
        counts,
        True,
        counts,
        True,
        counts,
        False,
        counts,
        counts,
        False,
        counts,
        counts,
        False,
        counts,
    ]
