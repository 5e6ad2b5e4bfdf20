from dataclasses import replace

import pytest
import torch

from mnemon.config import Problem
from mnemon.ops import Neighbours
from mnemon.pools import Fresh, KNNConfig, Merge
from mnemon.pools.knn import KNNPool, KNNState
from streams import DIM, HEADS, WIDTH, keys, segment, whole

SEGMENT, WINDOW, SIZE = 5, 4, 9


def made(
    merge: Merge = "gated", cached: int = WINDOW, top_k: int = SIZE, size: int = SIZE, value: str = "own"
) -> KNNPool:
    config = KNNConfig(layers=(0,), size=size, top_k=top_k, merge=merge, value=value)
    pool = config.build(WIDTH, HEADS, DIM, SEGMENT, WINDOW, cached)
    assert isinstance(pool, KNNPool)
    return pool


def read(pool: KNNPool, state: KNNState, position: list[int], t: int = 1) -> Neighbours | None:
    fresh = whole(position, t)
    assert fresh.k is not None
    return pool.read(state, fresh.k, fresh)


def found(pool: KNNPool, state: KNNState, position: list[int], t: int = 1) -> list[list[int]]:
    """Stream positions of what the last query of each row finds, in order of the stream."""
    got = read(pool, state, position, t)
    if got is None:
        return [[] for _ in position]
    places = []
    for row, ids, valid in zip(got.rows, got.ids[:, :, -1], got.valid[:, :, -1], strict=True):
        heads = [sorted(got.positions[row, i[v]].tolist()) for i, v in zip(ids, valid, strict=True)]
        assert heads[0] == heads[1], "every entry is written in all heads"
        places.append(heads[0])
    return places


def fed(pool: KNNPool, state: KNNState, *lengths: int, first: int = 0) -> KNNState:
    """The state of one row after pieces of these lengths."""
    for length in lengths:
        state = pool.update(state, whole([first], length))
        first += length
    return state


def test_a_memory_smaller_than_top_k_is_a_problem() -> None:
    pool = made(top_k=4)
    for memory in (-1, 1, 3):
        with pytest.raises(Problem, match=f"memory of {memory} entries is smaller than top_k = 4"):
            pool.init_state(2, memory)
    assert pool.init_state(2, 4).size == 4
    assert pool.init_state(2).size == SIZE


def test_no_neighbours_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        KNNConfig(top_k=0)


def test_an_unknown_index_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no such index .did you mean 'exact'"):
        KNNConfig(index="exakt")


def test_a_memory_of_no_entries_stays_empty() -> None:
    pool = made()
    state = pool.init_state(1, 0)
    assert fed(pool, state, 5, 5) is state
    assert read(pool, state, [10]) is None


def test_entries_enter_when_a_segment_is_complete() -> None:
    pool = made()
    state = pool.init_state(1)
    for first, t, expected in ((0, 2, []), (2, 2, []), (4, 1, []), (5, 4, [0, 1, 2, 3, 4]), (9, 1, [0, 1, 2, 3, 4])):
        assert found(pool, state, [first]) == [expected]
        state = fed(pool, state, t, first=first)
    assert found(pool, state, [10]) == [[1, 2, 3, 4, 5, 6, 7, 8, 9]]  # nine of ten fit


def test_entries_enter_when_the_document_ends() -> None:
    pool = made()
    state = pool.update(pool.init_state(3), segment([0, 0, 0], [3, 3, 0], ends=[True, False, True]))
    assert found(pool, state, [3, 3, 0]) == [[0, 1, 2], [], []]
    assert state.count.tolist() == [0, 3, 0]
    state = pool.update(state, segment([3, 3, 0], [1, 2, 1]))
    assert found(pool, state, [4, 5, 1]) == [[0, 1, 2], [0, 1, 2, 3, 4], []]


def test_rows_fill_wrap_and_begin_segments_on_their_own() -> None:
    pool = made()
    state = pool.init_state(3)
    for position, lengths, expected in (
        ([0, 0, 0], [5, 2, 1], [[], [], []]),
        ([5, 2, 1], [3, 3, 1], [[0, 1, 2, 3, 4], [], []]),
        ([8, 5, 2], [2, 5, 1], [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], []]),
        ([10, 10, 3], [0, 0, 2], [list(range(1, 10)), list(range(1, 10)), []]),
        ([10, 10, 5], [1, 1, 1], [list(range(1, 10)), list(range(1, 10)), [0, 1, 2, 3, 4]]),
    ):
        assert found(pool, state, position) == expected
        state = pool.update(state, segment(position, lengths))


def test_every_retrieved_entry_has_its_own_key_value_and_position() -> None:
    pool = made(top_k=3)
    state = pool.init_state(3)
    for position, lengths in (([0, 0, 0], [5, 2, 1]), ([5, 2, 1], [5, 3, 1]), ([10, 5, 2], [5, 5, 3])):
        state = pool.update(state, segment(position, lengths))
    got = read(pool, state, [15, 10, 5], t=2)
    assert got is not None
    for b in range(3):
        for h in range(HEADS):
            for t in range(2):
                for i, valid in zip(got.ids[b, h, t], got.valid[b, h, t], strict=True):
                    if valid:
                        place = got.positions[b, i]
                        assert torch.equal(got.keys[b, h, i], torch.tensor([b, h, place, 1]).double())
                        assert torch.equal(got.values[b, h, i], -got.keys[b, h, i])
    assert bool(got.valid.all())


def test_neighbours_are_the_best_by_inner_product_best_first() -> None:
    pool = made(top_k=3)
    state = fed(pool, pool.init_state(1), 5, 5)
    got = read(pool, state, [10])
    assert got is not None
    exact = (keys([10], 1) @ got.keys.mT).topk(3)  # the key grows with its position
    assert torch.equal(got.scores, exact[0])
    assert torch.equal(got.ids, exact[1])
    assert got.positions[0, got.ids[0, 0, 0]].tolist() == [9, 8, 7]


def test_reset_empties_its_rows_alone_and_their_positions_start_again() -> None:
    pool = made()
    state = pool.update(pool.init_state(2), whole([0, 0], 5))
    state = pool.update(state, whole([5, 5], 2))
    state = pool.reset(state, torch.tensor([True, False]))
    assert found(pool, state, [0, 7]) == [[], [0, 1, 2, 3, 4]]
    state = pool.update(state, whole([0, 7], 3))
    assert found(pool, state, [3, 10]) == [[], list(range(1, 10))]
    state = pool.update(state, whole([3, 10], 2))
    assert found(pool, state, [5, 12]) == [[0, 1, 2, 3, 4], list(range(1, 10))]


def test_a_reset_that_keeps_the_memory_writes_the_begun_segment() -> None:
    pool = made()
    state = pool.update(pool.init_state(2), whole([0, 0], 3))
    state = pool.reset(state, torch.tensor([True, False]), memory=False)
    assert found(pool, state, [3, 3]) == [[0, 1, 2], []]
    assert state.count.tolist() == [0, 3]
    state = pool.update(state, whole([3, 3], 2))
    assert found(pool, state, [5, 5]) == [[0, 1, 2], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("t", "cached", "expected"),
    [
        (1, WINDOW, [0, 1, 2, 3, 4, 5]),  # token 10 sees 6..9 in its window
        (4, WINDOW, [0, 1, 2, 3, 4, 5, 6, 7, 8]),  # token 13 sees 9..12
        (1, 2, [0, 1, 2, 3, 4, 5, 6, 7]),  # the cache holds 8 and 9
        (4, 2, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (1, 0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),  # no cache: nothing stored is seen otherwise
    ],
)
def test_a_joint_memory_holds_back_what_the_context_shows(t: int, cached: int, expected: list[int]) -> None:
    pool = made("joint", cached, top_k=12, size=12)
    assert found(pool, fed(pool, pool.init_state(1), 5, 5), [10], t) == [expected]


def test_a_joint_memory_holds_back_nothing_of_the_document_before() -> None:
    pool = made("joint", top_k=12, size=12)
    state = fed(pool, pool.init_state(1), 5, 3)
    state = pool.reset(state, torch.tensor([True]), memory=False)
    assert found(pool, state, [8]) == [[0, 1, 2, 3, 4, 5, 6, 7]]
    state = fed(pool, state, 4, first=8)
    state = pool.update(state, whole([12], 1))  # the second document's first segment is complete
    assert found(pool, state, [13]) == [[1, 2, 3, 4, 5, 6, 7, 8]]  # 9..12 are in the window; 0 was overwritten


def test_a_gated_memory_may_repeat_the_context() -> None:
    pool = made("gated", top_k=12, size=12)
    assert found(pool, fed(pool, pool.init_state(1), 5, 5), [10]) == [list(range(10))]


def test_select_shares_the_memory_until_rows_diverge() -> None:
    pool = made()
    state = pool.update(pool.init_state(2), segment([0, 0], [5, 4]))
    before = state.store
    state = pool.select(state, torch.tensor([1, 0, 0]))
    assert state.store is before
    assert found(pool, state, [4, 5, 5]) == [[], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    state = pool.update(state, segment([4, 5, 5], [1, 5, 1]))  # row 0 and row 1 complete a segment
    assert found(pool, state, [5, 10, 6]) == [[0, 1, 2, 3, 4], list(range(1, 10)), [0, 1, 2, 3, 4]]
    state = pool.update(state, segment([5, 10, 6], [1, 1, 4]))
    assert found(pool, state, [6, 11, 10])[2] == list(range(1, 10))


def test_select_before_anything_is_stored() -> None:
    pool = made()
    state = pool.select(pool.update(pool.init_state(2), segment([0, 0], [3, 1])), torch.tensor([1, 0, 1]))
    state = pool.update(state, segment([1, 3, 1], [4, 2, 0]))
    assert found(pool, state, [5, 5, 1]) == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], []]
    got = read(pool, state, [5, 5, 1])
    assert got is not None
    assert got.keys[0, 0, :4, 0].tolist() == [
        1.0,
        0.0,
        0.0,
        0.0,
    ]  # its first token came from row 1, the rest is its own
    assert got.keys[1, 0, :5, 0].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]


def test_reset_after_select_leaves_the_other_beams_their_memory() -> None:
    pool = made()
    state = pool.select(fed(pool, pool.init_state(1), 5), torch.tensor([0, 0]))
    state = pool.reset(state, torch.tensor([False, True]))
    assert found(pool, state, [5, 0]) == [[0, 1, 2, 3, 4], []]


def test_with_the_next_token_s_value_a_key_answers_what_came_after_it() -> None:
    pool = made(value="next")
    state = pool.init_state(2)
    for position, lengths, ends in (([0, 0], [2, 5], [False, False]), ([2, 5], [3, 1], [False, True])):
        state = pool.update(state, segment(position, lengths, ends))
    got = read(pool, state, [5, 6])
    assert got is not None
    for row, n in ((0, 5), (1, 6)):
        assert got.values[row, 1, :n, 2].tolist() == [-p for p in range(n)]
        assert got.keys[row, 1, :n, 2].tolist() == [0, *range(n - 1)]  # the first token has none before it


def test_with_the_next_token_s_value_documents_are_not_paired_with_each_other() -> None:
    pool = made(value="next")
    for memory in (True, False):
        state = fed(pool, pool.init_state(1), 3)
        first = 0 if memory else 3
        state = pool.reset(state, torch.tensor([True]), memory)
        state = fed(pool, state, 5, first=first)
        got = read(pool, state, [first + 5])
        assert got is not None
        slot = 0 if memory else 3
        assert got.keys[0, 0, slot, 2] == first
        assert got.values[0, 0, slot, 2] == -first


@pytest.mark.parametrize("merge", ["gated", "joint"])
def test_reading_leaves_the_state_as_it_is(merge: Merge) -> None:
    pool = made(merge)
    state = pool.update(pool.init_state(2), segment([0, 0], [5, 2]))
    assert state.store is not None
    version, before = state.store.version, {name: x.clone() for name, x in state.tensors("knn").items()}
    read(pool, state, [5, 2], t=3)
    assert state.store.version == version
    after = state.tensors("knn")
    assert all(torch.equal(after[name].nan_to_num(), tensor.nan_to_num()) for name, tensor in before.items())


def test_keys_with_a_gradient_are_stored_without_it() -> None:
    pool = made()
    fresh = whole([0], 5)
    assert fresh.k is not None
    k = fresh.k.clone().requires_grad_()
    state = pool.update(pool.init_state(1), Fresh(fresh.x, fresh.position, k, k * 2))
    assert state.store is not None
    assert not state.store.keys.requires_grad
    assert not state.store.values.requires_grad


def test_a_loaded_state_owns_its_store() -> None:
    pool = made()
    state = fed(pool, pool.init_state(1), 5, 2)
    loaded = pool.init_state(1).loaded("knn", state.tensors("knn"))
    fed(pool, state, 5, first=7)
    assert found(pool, loaded, [7]) == [[0, 1, 2, 3, 4]]
    assert loaded.size == SIZE
    assert loaded.count.tolist() == [2]


def test_a_state_without_a_store_is_loaded_as_one() -> None:
    pool = made()
    full, empty = fed(pool, pool.init_state(1), 5), pool.init_state(1)
    assert full.loaded("knn", empty.tensors("knn")).store is None


def test_faithful_slots_that_are_not_written_are_zeros_after_those_that_are() -> None:
    pool = KNNConfig(layers=(0,), size=10, top_k=7).build(WIDTH, HEADS, DIM, SEGMENT, WINDOW, WINDOW, True)
    assert isinstance(pool, KNNPool)
    state = pool.init_state(2)
    nothing = read(pool, state, [0, 0])
    assert nothing is not None
    assert nothing.zeros
    assert nothing.ids.shape == (2, HEADS, 1, 7)
    assert not bool(nothing.valid.any())
    state = pool.update(state, segment([0, 0], [5, 3]))
    some = read(pool, state, [5, 3])
    assert some is not None
    assert some.valid.sum(-1).flatten().tolist() == [5, 5, 0, 0]
    assert some.ids.shape == (2, HEADS, 1, 7)
    assert read(pool, pool.init_state(2, 0), [0, 0]) is None


@pytest.mark.parametrize("memory", [None, 12])
def test_faithful_a_size_that_is_no_multiple_of_the_segment_is_a_problem(memory: int | None) -> None:
    config = KNNConfig(layers=(0,), size=9 if memory is None else 10, top_k=2)
    with pytest.raises(Problem, match=r"faithful needs a multiple of the segment, which is 5"):
        config.build(WIDTH, HEADS, DIM, SEGMENT, WINDOW, WINDOW, True).init_state(1, memory)


@pytest.mark.parametrize("lengths", [(5,), (5, 5), (5, 5, 5)])
def test_a_loaded_store_goes_on_to_its_size(lengths: tuple[int, ...]) -> None:
    pool = made()
    state = fed(pool, pool.init_state(1), *lengths)
    tensors = {name: tensor.clone() for name, tensor in state.tensors("knn").items()}
    loaded = pool.init_state(1).loaded("knn", tensors)
    assert loaded.size == SIZE
    for each in (state, loaded):
        told = sum(lengths)
        each = fed(pool, each, 5, 5, first=told)
        assert found(pool, each, [told + 10]) == [list(range(told + 1, told + 10))]


def test_the_store_is_told_what_was_attended_to_and_where_documents_start(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, told = made(), []
    state = fed(pool, pool.init_state(1), 5)
    state = pool.reset(state, torch.tensor([True]), memory=False)
    got = read(pool, state, [5], t=5)
    assert state.store is not None
    assert got is not None
    monkeypatch.setattr(type(state.store), "attended", lambda _, found, weights: told.append((found, weights)))
    weights, plain = torch.rand(got.ids.shape), type(state.store).write
    monkeypatch.setattr(
        type(state.store), "write", lambda store, *what: (told.append(what[4].tolist()), plain(store, *what))
    )
    pool.update(state, replace(whole([5], 5), found=got, weights=weights))
    assert told == [(got, weights), [5]], "first what was attended to, then what is written"
