import pytest
import torch
from torch import Tensor

from mnemon.config import Problem
from mnemon.index import SlotsStore, find_store, room
from mnemon.index.evict import POLICIES


def made(evict: str, size: int = 6, stored: str = "same") -> SlotsStore:
    store = find_store(f"slots:evict={evict},stored={stored}").empty(1, 1, size, 6, torch.empty(0))
    assert isinstance(store, SlotsStore)
    return store


def keys(first: int, n: int) -> Tensor:
    """Keys that are each their own only neighbour."""
    return torch.eye(6)[torch.arange(first, first + n) % 6][None, None]


def write(store: SlotsStore, first: int, n: int, start: int = 0) -> None:
    k = keys(first, n)
    store.write(k, k, torch.arange(first, first + n)[None], torch.tensor([n]), torch.tensor([start]))


def attend(store: SlotsStore, key: int, weight: float = 1.0) -> None:
    """One query that finds the entry of a key, which has all of its attention."""
    found = store.find(keys(key, 1), 1, torch.tensor([0]))
    assert found is not None
    store.attended(found, torch.full(found.ids.shape, weight))


def held(store: SlotsStore) -> list[int]:
    found = store.find(keys(0, 1), store.size, torch.tensor([0]))
    assert found is not None
    return sorted(found.places()[found.valid].tolist())


def test_first_in_first_out() -> None:
    store = made("fifo")
    write(store, 0, 6)
    attend(store, 0)
    write(store, 6, 2)
    assert held(store) == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("stored", ["same", "int8"])
def test_what_was_not_found_for_longest_goes_first(stored: str) -> None:
    store = made("lru", stored=stored)
    write(store, 0, 4)
    write(store, 4, 2)
    attend(store, 1)
    attend(store, 2)
    write(store, 6, 3)  # 0 and 3 were found least recently, 4 and 5 later; 1 and 2 now
    assert held(store) == [1, 2, 5, 6, 7, 8]


def test_what_had_least_attention_goes_first_and_new_entries_have_their_chance() -> None:
    store = made("attention")
    write(store, 0, 6)
    attend(store, 0, 5.0)
    attend(store, 3, 0.5)
    write(store, 6, 3)
    assert held(store) == [0, 3, 5, 6, 7, 8]
    write(store, 9, 3)
    assert {9, 10, 11, 0} <= set(held(store))


def test_attention_is_summed_over_heads_queries_and_segments() -> None:
    """Entry 0 has 0.3 of each of four; entry 1 has 1 of one; the others 0.1, so that the first to go has the least."""
    store = find_store("slots:evict=attention").empty(1, 2, 6, 6, torch.empty(0))
    assert isinstance(store, SlotsStore)
    k = torch.eye(6).expand(1, 2, 6, 6)
    store.write(k, k, torch.arange(6)[None], torch.tensor([6]))
    for key, weight, count in ((0, 0.3, 2), (1, 1.0, 1), (2, 0.1, 1), (3, 0.9, 1), (4, 0.9, 1), (5, 0.9, 1)):
        found = store.find(torch.eye(6)[key].expand(1, 2, count, 6), 1, torch.tensor([0]))
        assert found is not None
        weights = torch.full(found.ids.shape, weight)
        weights[:, 1] *= 1.0 if key == 0 else 0.0
        store.attended(found, weights)
    torch.testing.assert_close(store.slots.attention[0, :3], torch.tensor([1.2, 1.0, 0.1]))
    store.write(k[:, :, :5], k[:, :, :5], torch.arange(6, 11)[None], torch.tensor([5]))
    assert store.slots.positions[0][store.slots.entry[0] >= 0].sort()[0].tolist() == [0, 6, 7, 8, 9, 10]


def test_whole_documents_go_the_oldest_first() -> None:
    store = made("document")
    write(store, 0, 2, start=0)
    write(store, 2, 3, start=2)
    write(store, 5, 1, start=5)
    write(store, 6, 1, start=5)  # one too many: both of the first document go
    assert held(store) == [2, 3, 4, 5, 6]
    write(store, 7, 3, start=5)
    assert held(store) == [5, 6, 7, 8, 9]
    write(store, 10, 3, start=5)  # only this document is left: its oldest entries go
    assert held(store) == [7, 8, 9, 10, 11, 12]


@pytest.mark.parametrize("evict", POLICIES)
@pytest.mark.parametrize("stored", ["same", "int8"])
def test_a_full_store_has_room_and_gives_each_key_its_value(evict: str, stored: str) -> None:
    store, draw = made(evict, 5, stored), torch.Generator().manual_seed(0)
    for step in range(12):
        n = int(torch.randint(0, 8, (), generator=draw))
        write(store, 7 * step, n, start=7 * (step // 3))
        if held_now := held(store) if int(store.written[0]) else []:
            attend(store, held_now[0])
            assert len(held_now) <= 5
            found = store.find(keys(0, 6), 5, torch.tensor([0]))
            assert found is not None
            for t in range(6):
                for j, place in zip(found.ids[0, 0, t], found.places()[0, 0, t].tolist(), strict=True):
                    if place >= 0:
                        torch.testing.assert_close(found.values[0, 0, j], keys(place, 1)[0, 0, 0])


def test_what_was_attended_to_is_saved() -> None:
    store = made("lru")
    write(store, 0, 6)
    attend(store, 0)
    write(store, 6, 1)
    attend(store, 2)
    twin = find_store("slots:evict=lru").loaded(store.tensors(), 6)
    assert isinstance(twin, SlotsStore)
    for each in (store, twin):
        write(each, 7, 3)
        assert held(each) == [0, 2, 6, 7, 8, 9]


def test_packed_entries_take_fewer_bytes() -> None:
    wide, narrow = (made("fifo", 6, stored) for stored in ("same", "int8"))
    for store in (wide, narrow):
        write(store, 0, 6)
    assert narrow.slots.keys.element_size() * 4 == wide.slots.keys.element_size()


def test_many_slots_are_searched_in_blocks_as_if_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnemon.index.slots.TILE_BYTES", 1)
    store, ring = (find_store(name).empty(1, 2, 900, 4, torch.empty(0)) for name in ("slots", "exact"))
    x, q, before = torch.randn(1, 2, 900, 4), torch.randn(1, 2, 3, 4), torch.tensor([[900, 500, 10]])
    for each in (store, ring):
        each.write(x, x, torch.arange(900)[None], torch.tensor([900]))
    for limit in (None, before):
        found, best = (each.find(q, 9, torch.tensor([0]), limit) for each in (store, ring))
        assert found is not None
        assert best is not None
        torch.testing.assert_close(found.scores, best.scores)
        assert torch.equal(found.places(), best.places())


def test_unknown_policies_and_packings_name_the_nearest() -> None:
    with pytest.raises(Problem, match=r"evict 'lruu' is not known .did you mean 'lru'"):
        find_store("slots:evict=lruu").check()
    with pytest.raises(Problem, match=r"stored 'int9' is not known .did you mean 'int8'"):
        find_store("slots:stored=int9").check()
    find_store("slots:evict=document,stored=int8").check()


@pytest.mark.parametrize("stored", ["same", "bfloat16", "int8"])
def test_slots_that_cannot_grow_say_how_much_they_need_and_keep_what_they_have(
    stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, draw = made("fifo", 900, stored), torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, 700, 6, generator=draw)
    store.write(x[:, :, :200], x[:, :, :200], torch.arange(200)[None], torch.tensor([200]))
    monkeypatch.setattr(room, "free_bytes", lambda: 5000)
    with pytest.raises(Problem, match=r"cannot grow: [0-9,]+ bytes are needed \(5,000 are free\)"):
        store.write(x, x, torch.arange(700)[None], torch.tensor([700]))
    found = store.find(x[:, :, :1], 900, torch.tensor([0]))
    assert found is not None
    assert sorted(found.places()[found.valid].tolist()) == list(range(200))
    monkeypatch.undo()
    store.write(x, x, torch.arange(200, 900)[None], torch.tensor([700]))
    again = store.find(x[:, :, :1], 900, torch.tensor([0]))
    assert again is not None
    assert sorted(again.places()[again.valid].tolist()) == list(range(900))
