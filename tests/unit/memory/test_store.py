import pytest
import torch

from mnemon.config import Problem
from mnemon.index import room
from mnemon.memory import Document, DocumentStore


def document(name: str, n: int, seed: int = 0) -> Document:
    draw = torch.Generator().manual_seed(seed)
    keys, values = ({at: torch.randn(2, n, 3, generator=draw) for at in (1, 4)} for _ in range(2))
    places = torch.arange(n)
    return Document(
        name, "", "text", "x" * n, "", places + 100, torch.stack([places, places + 1], 1), places, keys, values
    )


def check(store: DocumentStore, expected: list[Document]) -> None:
    assert store.names == [each.name for each in expected]
    assert len(store) == sum(map(len, expected))
    for got, want in zip(store.documents(), expected, strict=True):
        assert torch.equal(got.tokens, want.tokens)
        for at in (1, 4):
            assert torch.equal(got.keys[at], want.keys[at])
            assert torch.equal(got.values[at], want.values[at])
    if expected:
        entries = store.entries(4)
        assert entries is not None
        keys = torch.cat([each.keys[4] for each in expected], dim=1)
        assert torch.equal(entries.keys[0, :, entries.first : entries.last], keys)
        for number, want in zip(
            range(entries.first, entries.last), torch.cat([each.tokens for each in expected]), strict=True
        ):
            found, place = store.at(number)
            assert found.tokens[place] == want


def cut(whole: Document, start: int, stop: int) -> Document:
    part = slice(start, stop)
    keys, values = ({at: x[:, part] for at, x in side.items()} for side in (whole.keys, whole.values))
    return Document(
        whole.name,
        "",
        "text",
        whole.text,
        "",
        whole.tokens[part],
        whole.spans[part],
        whole.positions[part],
        keys,
        values,
    )


def test_what_is_found_is_what_was_stored_through_growth_and_forgetting() -> None:
    store, kept = DocumentStore(5000), []
    for number in range(6):
        kept.append(document(f"d{number}", 300 + 100 * number, seed=number))
        store.add(kept[-1])
        check(store, kept)
    for name in ("d2", "d0", "d5"):
        gone = store.forget(name)
        index = [each.name for each in kept].index(name)
        assert torch.equal(gone.keys[1], kept.pop(index).keys[1])
        check(store, kept)
        store.add(document("late", 40, seed=9))
        check(store, [*kept, document("late", 40, seed=9)])
        store.forget("late")
    for each in list(kept):
        store.forget(each.name)
    check(store, [])
    assert store.entries(1) is None


def test_the_first_document_is_used_where_it_lies_and_never_written_to() -> None:
    first = document("a", 7)
    before = first.keys[1].clone()
    store = DocumentStore(100)
    store.add(first)
    entries = store.entries(1)
    assert entries is not None
    assert entries.keys.data_ptr() == first.keys[1].data_ptr()
    store.add(document("b", 5, seed=1))
    assert torch.equal(first.keys[1], before)


def test_pieces_of_a_document_are_joined() -> None:
    whole, store = document("a", 9), DocumentStore(100)
    for start, stop in ((0, 4), (4, 5), (5, 9)):
        store.add(cut(whole, start, stop))
    check(store, [whole])


def test_the_oldest_entries_go_first() -> None:
    first, second, third = document("a", 6), document("b", 5, 1), document("c", 4, 2)
    store = DocumentStore(10)
    for each in (first, second, third):
        store.add(each)
    check(store, [cut(first, 5, 6), second, third])
    for number in range(9):
        store.add(document(f"n{number}", 4, seed=number))
    check(store, [cut(document("n6", 4, 6), 2, 4), document("n7", 4, 7), document("n8", 4, 8)])


def test_every_change_has_a_version_and_unknown_names_are_said() -> None:
    store, versions = DocumentStore(10), set()
    for change in (lambda: None, lambda: store.add(document("a", 3)), lambda: store.forget("a")):
        change()
        versions.add(store.version)
    assert len(versions) == 3
    with pytest.raises(Problem, match="'b': nothing by this name"):
        store.forget("b")
    with pytest.raises(IndexError):
        store.at(0)


def test_a_memory_that_cannot_grow_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    store, kept = DocumentStore(5000), [document("a", 700), document("b", 500, 1)]
    for each in kept:
        store.add(each)
    monkeypatch.setattr(room, "free_bytes", lambda: 1000)
    for change in (lambda: store.add(document("c", 900, 2)), lambda: store.forget("a")):
        with pytest.raises(Problem, match=r"the memory cannot grow: [0-9,]+ bytes are needed"):
            change()
        check(store, kept)
    monkeypatch.undo()
    store.forget("a")
    store.add(document("c", 900, 2))
    check(store, [kept[1], document("c", 900, 2)])
