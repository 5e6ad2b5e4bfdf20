from functools import partial

import pytest
import torch
from torch import Tensor

from mnemon.index import ENGINES, RingStore, Store, find_store
from mnemon.index.kept import START, Engine, KeptKind, KeptStore
from mnemon.index.store import RingKind

ROWS, HEADS, DIM, SIZE, TOP = 2, 3, 4, 23, 5
DRAW = torch.Generator()


def kept(name: str = "faiss-flat", start: int = 1, **options: int) -> KeptKind:
    return KeptKind(partial(ENGINES[name], **options), RingKind(), start)


def empty(kind: KeptKind) -> KeptStore:
    return kind.empty(ROWS, HEADS, SIZE, DIM, torch.empty(0))


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=DRAW)


def write(stores: list[Store], lengths: list[int], first: int) -> None:
    """The same entries to all stores; a value says which key it belongs to."""
    n = max(lengths)
    keys = random(ROWS, HEADS, n, DIM)
    positions = (torch.arange(n) + first).expand(ROWS, -1)
    for store in stores:
        store.write(keys, 2 * keys, positions, torch.tensor(lengths))


def check(store: Store, ring: RingStore, before: Tensor | None = None) -> None:
    q, rows = random(ROWS, HEADS, 7, DIM), torch.arange(ROWS)
    found, wanted = store.find(q, TOP, rows, before), ring.find(q, TOP, rows, before)
    if wanted is None:
        assert found is None
        return
    assert found is not None
    assert torch.equal(found.valid, wanted.valid)
    assert torch.allclose(found.scores, wanted.scores, atol=1e-6)
    assert torch.equal(found.ids[found.valid], wanted.ids[wanted.valid])
    for row, head in ((row, head) for row in range(ROWS) for head in range(HEADS)):
        ids = found.ids[row, head][found.valid[row, head]]
        assert torch.equal(found.values[row, head, ids], 2 * found.keys[row, head, ids])


@pytest.mark.parametrize("seed", range(4))
def test_a_kept_index_finds_what_comparing_all_finds(seed: int) -> None:
    """Through growth, wrap-around, uneven rows, resets and rows that are chosen twice."""
    DRAW.manual_seed(seed)
    store, ring = empty(kept()), RingKind().empty(ROWS, HEADS, SIZE, DIM, torch.empty(0))
    check(store, ring)
    for turn in range(30):
        lengths = torch.randint(0, 9, (ROWS,), generator=DRAW)
        lengths[0] = SIZE + 3 if turn == 20 else lengths[0] + 1
        write([store, ring], lengths.tolist(), 10 * turn)
        before = 10 * turn - torch.randint(0, 40, (ROWS, 7), generator=DRAW) if turn % 3 == 0 else None
        check(store, ring, before)
        if turn % 7 == 6:
            for each in (store, ring):
                each.reset(torch.tensor([turn % 2 == 0, True]))
            check(store, ring)
        if turn % 10 == 9:
            rows = torch.tensor([1, 1])
            store, ring = store.chosen(rows), ring.chosen(rows)
            check(store, ring)


class Counted(Engine):
    """What it is given is counted."""

    built = 0

    def __init__(self, entries):
        Counted.built += 1
        self.inner = ENGINES["faiss-flat"](entries)

    def add(self, entries):
        self.inner.add(entries)

    def ask(self, q, k):
        return self.inner.ask(q, k)


def test_an_index_is_built_when_it_is_asked_and_again_after_twice_as_much() -> None:
    DRAW.manual_seed(0)
    Counted.built = 0
    store = KeptKind(Counted, RingKind(), start=1).empty(ROWS, HEADS, SIZE, DIM, torch.empty(0))
    for turn in range(9):  # 4, 8, ... 36 entries a row
        write([store], [4, 4], 4 * turn)
        if turn > 2:
            store.find(random(ROWS, HEADS, 1, DIM), TOP, torch.arange(ROWS))
    # Built of 12, added to up to 24, built of the 23 that stand behind 28.
    assert Counted.built == 2 * ROWS * HEADS


@pytest.mark.parametrize(("name", "options"), [("faiss-ivf", {"lists": 4, "probes": 4}), ("faiss-hnsw", {})])
def test_approximate_ones_return_values_with_their_keys(name: str, options: dict[str, int]) -> None:
    DRAW.manual_seed(1)
    store = kept(name, **options).empty(1, 1, 400, DIM, torch.empty(0))
    ring = RingKind().empty(1, 1, 400, DIM, torch.empty(0))
    for turn in range(5):
        keys = random(1, 1, 150, DIM)
        for each in (store, ring):
            each.write(keys, 2 * keys, torch.arange(150)[None] + 150 * turn, torch.tensor([150]))
        q = random(1, 1, 20, DIM)
        found, wanted = (each.find(q, TOP, torch.tensor([0])) for each in (store, ring))
        assert found is not None
        assert wanted is not None
        assert bool(found.valid.all())
        assert torch.equal(found.values[0, 0][found.ids], 2 * found.keys[0, 0][found.ids])
        assert (found.ids[..., None] == wanted.ids[..., None, :]).any(-1).float().mean() > 0.95


def test_few_entries_are_compared_and_settings_and_files_are_kept() -> None:
    DRAW.manual_seed(2)
    kind = find_store("faiss-ivf:lists=3,probes=2")
    assert isinstance(kind, KeptKind)
    assert isinstance(kind.begin, partial)
    assert (kind.start, kind.begin.keywords) == (START, {"lists": 3, "probes": 2})
    kind.check()
    store, ring = (
        kind.empty(ROWS, HEADS, SIZE, DIM, torch.empty(0)),
        RingStore.empty(ROWS, HEADS, SIZE, DIM, torch.empty(0)),
    )
    write([store, ring], [7, 3], 0)
    check(store, ring)
    loaded = kind.loaded(store.tensors(), SIZE)
    assert (loaded.size, loaded.written.tolist()) == (SIZE, [7, 3])
    check(loaded, ring)
    mixed, wanted = store.shuffled(3), ring.shuffled(3)
    assert torch.equal(mixed.tensors()["values"][0, :, :7], wanted.values[0, :, :7])
    assert "kept" not in store.tensors()
