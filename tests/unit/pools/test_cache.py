from collections.abc import Callable

import pytest
import torch

from mnemon.ops import Hidden
from mnemon.pools import CacheConfig, Fresh, Pool, State
from streams import DIM, HEADS, WIDTH, segment, whole

LENGTH = 4
Made = Callable[[], Pool]


@pytest.fixture(params=["hidden", "kv"])
def pool(request: pytest.FixtureRequest) -> Pool:
    return CacheConfig(stores=request.param).build(WIDTH, HEADS, DIM, segment=5, window=9, cached=LENGTH)


def seen(pool: Pool, state: State, fresh: Fresh) -> list[list[int]]:
    """Stream positions of what each row may see, oldest first."""
    read = pool.read(state, fresh.x[:, None], fresh)
    if read is None:
        return [[] for _ in range(len(fresh.x))]
    places = read.h[..., 1] if isinstance(read, Hidden) else read.k[:, 1, :, 2]
    n = places.shape[1]
    assert read.offset is not None
    assert read.offset.tolist() == list(range(-n, 0))
    valid = torch.ones_like(places).bool() if read.valid is None else read.valid
    return [places[row][valid[row]].int().tolist() for row in range(len(places))]


def test_a_new_cache_holds_nothing(pool: Pool) -> None:
    assert pool.read(pool.init_state(2), whole([0, 0], 3).x[:, None], whole([0, 0], 3)) is None


def test_the_last_tokens_are_seen_across_segments(pool: Pool) -> None:
    state = pool.init_state(2)
    for first, t, expected in (
        (0, 3, []),
        (3, 2, [0, 1, 2]),
        (5, 1, [1, 2, 3, 4]),
        (6, 7, [2, 3, 4, 5]),
        (13, 1, [9, 10, 11, 12]),
    ):
        fresh = whole([first, first], t)
        assert seen(pool, state, fresh) == [expected, expected]
        state = pool.update(state, fresh)


def test_rows_fill_at_their_own_pace(pool: Pool) -> None:
    state = pool.init_state(3)
    for position, lengths, expected in (
        ([0, 0, 0], [3, 1, 0], [[], [], []]),
        ([3, 1, 0], [0, 2, 0], [[0, 1, 2], [0], []]),
        ([3, 3, 0], [5, 1, 1], [[0, 1, 2], [0, 1, 2], []]),
        ([8, 4, 1], [1, 1, 1], [[4, 5, 6, 7], [0, 1, 2, 3], [0]]),
    ):
        fresh = segment(position, lengths)
        assert seen(pool, state, fresh) == expected
        state = pool.update(state, fresh)


@pytest.mark.parametrize("memory", [True, False])
def test_reset_forgets_its_rows_alone_whatever_becomes_of_the_memory(pool: Pool, memory: bool) -> None:
    state = pool.update(pool.init_state(2), whole([0, 0], 3))
    state = pool.reset(state, torch.tensor([False, True]), memory)
    assert seen(pool, state, whole([3, 0], 1)) == [[0, 1, 2], []]
    state = pool.update(state, whole([3, 0], 1))
    assert seen(pool, state, whole([4, 1], 1)) == [[0, 1, 2, 3], [0]]


def test_select_makes_each_row_what_the_chosen_row_was(pool: Pool) -> None:
    state = pool.update(pool.init_state(2), segment([0, 0], [3, 1]))
    state = pool.select(state, torch.tensor([1, 0, 1]))
    assert seen(pool, state, whole([1, 3, 1], 1)) == [[0], [0, 1, 2], [0]]


def test_values_stay_beside_their_keys() -> None:
    pool = CacheConfig(stores="kv").build(WIDTH, HEADS, DIM, segment=5, window=9, cached=LENGTH)
    state = pool.update(pool.init_state(3), segment([0, 0, 0], [5, 2, 0]))
    state = pool.update(state, segment([5, 2, 0], [2, 0, 3]))
    fresh = whole([7, 2, 3], 1)
    read = pool.read(state, fresh.k, fresh)
    for row in range(3):
        real = read.valid[row]
        assert torch.equal(read.k[row, :, real], -read.v[row, :, real])
        assert bool((read.k[row, :, real, 0] == row).all())
        assert torch.equal(
            read.k[row, :, real, 1], torch.arange(HEADS).double()[:, None].expand(HEADS, int(real.sum()))
        )


def test_what_is_kept_is_detached(pool: Pool) -> None:
    fresh = whole([0], 3)
    grown = Fresh(
        *(part.clone().requires_grad_() for part in (fresh.x,)),
        fresh.position,
        fresh.k * fresh.k.clone().requires_grad_(),
    )
    grown = Fresh(grown.x, fresh.position, grown.k, grown.k)
    state = pool.update(pool.init_state(1), grown)
    assert not any(tensor.requires_grad for tensor in state.tensors("cache").values())


def test_reading_leaves_the_state_as_it_is(pool: Pool) -> None:
    state = pool.update(pool.init_state(2), segment([0, 0], [3, 1]))
    before = {name: tensor.clone() for name, tensor in state.tensors("cache").items()}
    seen(pool, state, whole([3, 1], 2))
    after = state.tensors("cache")
    assert all(torch.equal(after[name].nan_to_num(), tensor.nan_to_num()) for name, tensor in before.items())


def test_length_is_the_window_unless_set() -> None:
    assert CacheConfig().kept(window=9) == 9
    assert CacheConfig(length=3).kept(window=9) == 3


def test_a_cache_of_no_length_stays_empty(pool: Pool) -> None:
    kind = "hidden" if "Hidden" in type(pool).__name__ else "kv"
    none = CacheConfig(stores=kind).build(WIDTH, HEADS, DIM, segment=5, window=9, cached=0)
    state = none.update(none.init_state(2), segment([0, 0], [3, 1]))
    assert seen(none, state, whole([3, 1], 2)) == [[], []]


def test_a_cache_keeps_no_more_than_the_longest_span_may_look_at() -> None:
    pool = CacheConfig(stores="hidden", length=50).build(3, 1, 3, 7, 50, 50)
    fresh = Fresh(torch.randn(2, 7, 3), torch.zeros(2, dtype=torch.long), reach=4)
    state = pool.update(pool.init_state(2), fresh)
    assert state.h.shape[1] == 4
    assert state.count.tolist() == [4, 4]
    grown = pool.update(state, Fresh(torch.randn(2, 7, 3), torch.full((2,), 7), reach=9))
    assert grown.h.shape[1] == 9
    assert grown.count.tolist() == [9, 9]
