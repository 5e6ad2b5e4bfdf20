import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mnemon.index import RingStore, exact_search, store

ROWS, HEADS, DIM = 3, 2, 4


def entry(row: int, head: int, count: int) -> Tensor:
    """A value that tells its row, its head and which token of the stream it belongs to."""
    return torch.tensor([row, head, count, -count], dtype=torch.float64)


def unit(row: int, head: int, count: int) -> Tensor:
    """A key that is its own nearest neighbour."""
    draw = torch.Generator().manual_seed(1 + row + ROWS * (head + HEADS * count))
    return torch.nn.functional.normalize(torch.randn(DIM, generator=draw, dtype=torch.float64), dim=0)


def batch(made: object, first: list[int], n: int) -> Tensor:
    """[rows heads n dim]: entry j of row b is token first[b] + j of its stream."""
    assert callable(made)
    rows = [
        torch.stack(
            [torch.stack([made(b, h, f + j) for j in range(n)]) if n else torch.empty(0, DIM) for h in range(HEADS)]
        )
        for b, f in enumerate(first)
    ]
    return torch.stack(rows).double()


class Stream:
    """Rows that write unique keys and values, and a list of what each should still hold."""

    def __init__(self, size: int, padding: int = 1) -> None:
        self.size, self.padding = size, padding
        self.store = RingStore.empty(ROWS, HEADS, size, DIM, like=torch.empty(0, dtype=torch.float64))
        self.count = [0] * ROWS
        self.held: list[list[int]] = [[] for _ in range(ROWS)]

    def write(self, lengths: list[int]) -> None:
        n = max(lengths) + self.padding  # tokens that are not real behind the longest
        positions = torch.tensor(self.count)[:, None] + torch.arange(n)
        keys, values = (batch(made, self.count, n) for made in (unit, entry))
        for b, length in enumerate(lengths):
            keys[b, :, length:], values[b, :, length:] = torch.nan, torch.nan
        self.store.write(keys, values, positions, torch.tensor(lengths))
        for b, length in enumerate(lengths):
            self.held[b] = [*self.held[b], *range(self.count[b], self.count[b] + length)][-self.size :]
            self.count[b] += length

    def reset(self, rows: list[bool]) -> None:
        self.store.reset(torch.tensor(rows))
        for b, forget in enumerate(rows):
            self.held[b] = [] if forget else self.held[b]

    def check(self) -> None:
        """Every key finds itself, with its own value and position; what is not held is never returned."""
        slots = self.store.used()
        valid = self.store.valid(slots)
        assert valid.sum(1).tolist() == [len(held) for held in self.held]
        for b, held in enumerate(self.held):
            found = self.store.positions[b, :slots][valid[b]]
            assert sorted(found.tolist()) == held
            if not held:
                continue
            queries = torch.stack([torch.stack([unit(b, h, c) for c in held]) for h in range(HEADS)])
            scores, ids = exact_search(queries, self.store.keys[b, :, :slots], 1, valid[b])
            torch.testing.assert_close(scores, torch.ones_like(scores))
            for h in range(HEADS):
                for place, c in zip(ids[h, :, 0].tolist(), held, strict=True):
                    assert torch.equal(self.store.values[b, h, place], entry(b, h, c))
                    assert int(self.store.positions[b, place]) == c


@pytest.mark.parametrize("padding", [0, 1], ids=["whole segments", "padded segments"])
@pytest.mark.parametrize("size", [1, 5, 7, 8, 12])
def test_every_key_finds_its_own_value_through_wrap_around(size: int, padding: int) -> None:
    stream = Stream(size, padding)
    for _ in range(5):
        stream.write([3, 3, 3])
        stream.check()


@pytest.mark.parametrize("size", [3, 7, 12])
def test_whole_segments_are_written_to_rows_that_stand_at_other_slots(size: int) -> None:
    stream = Stream(size, padding=0)
    for step in range(6):
        stream.write([3, 3, 3])
        stream.check()
        if step == 1:
            stream.write([2, 0, 1])
            stream.reset([False, True, False])
            stream.check()


def test_whole_segments_are_copied_without_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(7, padding=0)
    monkeypatch.setattr(Tensor, "index_copy_", None)
    for _ in range(4):
        stream.write([3, 3, 3])
    stream.check()


def test_rows_fill_and_wrap_at_their_own_pace() -> None:
    stream = Stream(7)
    for lengths in ([3, 0, 5], [0, 1, 5], [4, 0, 0], [6, 2, 1], [0, 0, 0], [1, 7, 7]):
        stream.write(lengths)
        stream.check()


@pytest.mark.parametrize("before", [0, 2, 7, 9])
def test_of_more_than_a_capacity_s_worth_the_last_entries_stay(before: int) -> None:
    stream = Stream(7)
    stream.write([before, 0, before])
    stream.write([18, 8, 7])
    stream.check()


def test_no_slot_is_written_twice_by_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of two writes to one slot wins is not defined on every device."""
    stream, plain = Stream(7), Tensor.index_copy_

    def checked(ring: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
        assert len(index.unique()) == len(index)
        return plain(ring, dim, index, source)

    monkeypatch.setattr(Tensor, "index_copy_", checked)
    stream.write([18, 8, 7])
    stream.check()


def test_reset_empties_some_rows_and_leaves_the_others() -> None:
    stream = Stream(7)
    stream.write([5, 6, 9])
    stream.reset([True, False, True])
    stream.check()
    stream.write([2, 3, 0])
    stream.check()
    stream.reset([False, False, False])
    stream.check()
    stream.reset([True, True, True])
    assert stream.store.used() == 0
    stream.check()


@given(
    size=st.integers(1, 9),
    steps=st.lists(
        st.one_of(
            st.lists(st.integers(0, 11), min_size=ROWS, max_size=ROWS),
            st.lists(st.booleans(), min_size=ROWS, max_size=ROWS),
        ),
        max_size=5,
    ),
)
def test_any_sequence_of_writes_and_resets_keeps_keys_with_their_values(size: int, steps: list[list[int]]) -> None:
    stream = Stream(size)
    for step in steps:
        if any(isinstance(value, bool) for value in step):
            stream.reset([bool(value) for value in step])
        else:
            stream.write(step)
    stream.check()


def test_searches_see_a_multiple_of_the_alignment_up_to_the_capacity() -> None:
    store = RingStore.empty(1, 1, 2500, 1, like=torch.empty(0))
    used = []
    for n in (0, 1, 1023, 1, 1500, 9000):
        store.write(torch.zeros(1, 1, n, 1), torch.zeros(1, 1, n, 1), torch.zeros(1, n).long(), torch.tensor([n]))
        used.append(store.used())
    assert used == [0, 1024, 1024, 2048, 2500, 2500]


def test_unwritten_slots_are_not_valid_whatever_they_hold() -> None:
    stream = Stream(7)
    stream.write([2, 0, 9])
    expected = torch.tensor([[1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1]]).bool()
    assert torch.equal(stream.store.valid(7), expected)
    assert bool(stream.store.keys[0, :, 2:].isnan().all()), "the test is meant to meet uninitialised memory"


def test_entries_are_stored_without_gradient_in_the_dtype_of_the_store() -> None:
    store = RingStore.empty(1, 1, 3, 2, like=torch.empty(0, dtype=torch.bfloat16))
    fresh = torch.randn(1, 1, 2, 2, requires_grad=True)
    store.write(fresh, fresh * 2, torch.tensor([[0, 1]]), torch.tensor([2]))
    assert store.keys.dtype == torch.bfloat16
    assert not store.keys.requires_grad
    torch.testing.assert_close(store.values[:, :, :2].float(), (fresh * 2).detach(), atol=0.05, rtol=0.01)


def test_version_rises_with_every_write_and_not_with_a_reset() -> None:
    stream = Stream(4)
    versions = [stream.store.version]
    stream.write([1, 0, 2])
    versions.append(stream.store.version)
    stream.reset([True, True, True])
    assert stream.store.version == versions[-1]
    stream.write([1, 0, 2])
    versions.append(stream.store.version)
    assert len(set(versions)) == 3


def test_a_store_of_inference_mode_can_be_read() -> None:
    with torch.inference_mode():
        stream = Stream(4)
        stream.write([1, 0, 2])
        stream.check()
        assert stream.store.version == 0


def test_shuffled_values_keep_their_position_and_lose_their_key() -> None:
    stream = Stream(7)
    stream.write([9, 4, 0])
    held = stream.store.values.clone()
    mixed = stream.store.shuffled(seed=3)
    assert torch.equal(stream.store.values.nan_to_num(), held.nan_to_num()), "the store itself is left as it is"
    assert torch.equal(mixed.keys.nan_to_num(), stream.store.keys.nan_to_num())
    for row, count in ((0, 7), (1, 4)):
        found = mixed.positions[row, :count]
        assert sorted(found.tolist()) == sorted(stream.held[row])
        assert not torch.equal(found, stream.store.positions[row, :count])
        for head in range(HEADS):
            wanted = torch.stack([entry(row, head, int(c)) for c in found])
            assert torch.equal(mixed.values[row, head, :count], wanted)
    assert torch.equal(mixed.positions, stream.store.shuffled(seed=3).positions)
    assert not torch.equal(mixed.positions, stream.store.shuffled(seed=4).positions)


def test_slots_are_allocated_as_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ALIGN", 4)
    stream, slots = Stream(21), []
    for lengths in ([3, 0, 1], [0, 1, 1], [6, 2, 0], [1, 1, 1], [9, 0, 0], [4, 9, 0], [5, 5, 5]):
        stream.write(lengths)
        stream.check()
        slots.append(stream.store.slots)
    assert slots == [4, 4, 12, 12, 21, 21, 21]
    assert stream.store.size == 21


def test_a_large_memory_takes_no_room_before_it_is_written() -> None:
    large = RingStore.empty(8, 8, 262_144, 128, like=torch.empty(0))
    assert large.slots == large.used() == 0
    large.write(torch.zeros(8, 8, 5, 128), torch.zeros(8, 8, 5, 128), torch.zeros(8, 5).long(), torch.full((8,), 5))
    assert large.slots == 1024
    assert large.size == 262_144


def test_what_was_found_before_a_store_grew_stays_what_it_was() -> None:
    grown = RingStore.empty(1, 1, 5000, 2, like=torch.empty(0))
    write = torch.arange(1000.0).view(1, 1, 500, 2)
    grown.write(write, write, torch.arange(500)[None], torch.tensor([500]))
    keys, version = grown.keys, grown.version
    for _ in range(3):
        grown.write(write, write, torch.arange(500)[None], torch.tensor([500]))
    assert grown.keys is not keys
    assert torch.equal(keys[:, :, :500], grown.keys[:, :, :500])
    assert grown.slots == 2048
    assert version > 0


def test_rows_that_share_a_store_are_asked_together_without_a_copy() -> None:
    asked = []

    def search(q: Tensor, keys: Tensor, top_k: int, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        asked.append((tuple(q.shape), keys.data_ptr()))
        return exact_search(q, keys, top_k, valid)

    draw = torch.Generator().manual_seed(0)
    store = RingStore.empty(3, 2, 6, 5, torch.empty(0), search)
    keys = torch.randn(3, 2, 6, 5, generator=draw)
    store.write(keys, keys, torch.arange(6).expand(3, -1), torch.tensor([6, 4, 2]))
    rows, q = torch.tensor([1, 0, 1, 1]), torch.randn(4, 2, 7, 5, generator=draw)
    before = torch.randint(7, (4, 7), generator=draw)
    for limit in (None, before):
        asked.clear()
        found, wanted = store.find(q, 3, rows, limit), store.chosen(rows).find(q, 3, torch.arange(4), limit)
        assert found is not None
        assert wanted is not None
        assert torch.equal(found.valid, wanted.valid)
        assert torch.equal(found.ids[found.valid], wanted.ids[wanted.valid])
        assert torch.allclose(found.scores, wanted.scores)
        assert [shape for shape, _ in asked] == [(1, 2, 7, 5), (1, 2, 21, 5), (4, 2, 7, 5)]
        assert [where for _, where in asked[:2]] == [store.keys[row].data_ptr() for row in (0, 1)]
