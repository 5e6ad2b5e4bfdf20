import torch

from mnemon.pools import Fresh
from mnemon.pools.local import LocalPool
from streams import WIDTH, segment, tokens, whole


def seen(pool: LocalPool, state: object, fresh: Fresh) -> list[list[int]]:
    """Stream positions of what each row may see, without the fresh tokens themselves."""
    read = pool.read(state, fresh.x[:, None], fresh)
    n = read.h.shape[1] - fresh.x.shape[1]
    assert read.offset.tolist() == list(range(-n, fresh.x.shape[1]))
    valid = torch.ones(read.h.shape[:2], dtype=torch.bool) if read.valid is None else read.valid
    assert bool(valid[:, n:].all())
    return [read.h[row, :n][valid[row, :n]][:, 1].int().tolist() for row in range(len(valid))]


def test_with_a_cache_the_segment_is_all_there_is() -> None:
    pool = LocalPool(WIDTH, segment=5, cached=True)
    state = pool.update(pool.init_state(2), whole([0, 0], 3))
    fresh = whole([3, 3], 2)
    read = pool.read(state, fresh.x[:, None], fresh)
    assert read.h is fresh.x
    assert read.valid is None


def test_without_a_cache_the_begun_segment_is_seen_until_it_is_complete() -> None:
    pool = LocalPool(WIDTH, segment=5, cached=False)
    state = pool.init_state(2)
    expected = [[], [0, 1], [0, 1, 2], [], [5, 6]]
    for (first, t), places in zip([(0, 2), (2, 1), (3, 2), (5, 2), (7, 1)], expected, strict=True):
        fresh = whole([first, first], t)
        assert seen(pool, state, fresh) == [places, places]
        state = pool.update(state, fresh)


def test_rows_begin_and_complete_their_segments_on_their_own() -> None:
    pool = LocalPool(WIDTH, segment=5, cached=False)
    state = pool.init_state(3)
    for position, lengths, expected in (
        ([0, 0, 0], [4, 2, 0], [[], [], []]),
        ([4, 2, 0], [1, 1, 1], [[0, 1, 2, 3], [0, 1], []]),
        ([5, 3, 1], [3, 2, 0], [[], [0, 1, 2], [0]]),
        ([8, 5, 1], [1, 1, 1], [[5, 6, 7], [], [0]]),
    ):
        fresh = segment(position, lengths)
        assert seen(pool, state, fresh) == expected
        state = pool.update(state, fresh)


def test_a_begun_segment_is_left_at_the_end_of_its_document() -> None:
    pool = LocalPool(WIDTH, segment=5, cached=False)
    state = pool.update(pool.init_state(2), segment([0, 0], [3, 3], ends=[True, False]))
    assert seen(pool, state, whole([3, 3], 1)) == [[], [0, 1, 2]]


def test_reset_forgets_the_begun_segment_of_its_rows_alone() -> None:
    pool = LocalPool(WIDTH, segment=5, cached=False)
    state = pool.update(pool.init_state(2), whole([0, 0], 3))
    state = pool.reset(state, torch.tensor([True, False]))
    assert seen(pool, state, whole([0, 3], 1)) == [[], [0, 1, 2]]


def test_select_makes_each_row_what_the_chosen_row_was() -> None:
    pool = LocalPool(WIDTH, segment=5, cached=False)
    state = pool.update(pool.init_state(2), segment([0, 0], [3, 1]))
    state = pool.select(state, torch.tensor([1, 0, 1]))
    assert seen(pool, state, whole([1, 3, 1], 1)) == [[0], [0, 1, 2], [0]]
    assert torch.equal(state.tail[1, :, 0], torch.zeros(3))


def test_reading_leaves_the_state_as_it_is() -> None:
    pool = LocalPool(WIDTH, segment=5, cached=False)
    state = pool.update(pool.init_state(2), segment([0, 0], [3, 1]))
    before = state.tensors("local")
    pool.read(state, tokens([3, 1], 2)[:, None], whole([3, 1], 2))
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.tensors("local").items())
