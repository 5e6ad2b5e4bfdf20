import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnemon.pools import recent

CPU = torch.device("cpu")


def column(*values: float) -> torch.Tensor:
    """One row of entries with one channel."""
    return torch.tensor(values, dtype=torch.float32)[None, :, None]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [(0, []), (1, [5.0]), (3, [3.0, 4.0, 5.0]), (5, [1.0, 2.0, 3.0, 4.0, 5.0]), (9, [1, 2, 3, 4, 5])],
)
def test_the_newest_entries_are_kept(keep: int, expected: list[float]) -> None:
    found = recent.append(column(1, 2, 3), column(4, 5), torch.tensor([2]), keep)
    assert found[0, :, 0].tolist() == expected


def test_rows_of_different_lengths_are_aligned_to_the_right() -> None:
    old = torch.tensor([[1.0, 2.0], [11.0, 12.0], [21.0, 22.0]])[..., None]
    fresh = torch.tensor([[3.0, 4.0, 5.0], [13.0, torch.nan, torch.nan], [torch.nan] * 3])[..., None]
    found = recent.append(old, fresh, torch.tensor([3, 1, 0]), 3)
    assert found[0, :, 0].tolist() == [3.0, 4.0, 5.0]
    assert found[1, :, 0].tolist() == [11.0, 12.0, 13.0]
    assert found[2, 1:, 0].tolist() == [21.0, 22.0]  # slot 0 of this row holds no entry


@given(
    keep=st.integers(0, 9), steps=st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=2), min_size=1, max_size=5)
)
def test_after_any_steps_the_real_slots_hold_the_last_entries_in_order(keep: int, steps: list[list[int]]) -> None:
    held, count, told = torch.zeros(2, 3, 0, 1), torch.zeros(2, dtype=torch.long), [0, 0]
    for lengths in steps:
        t = max(lengths) + 1
        fresh = torch.full((2, 3, t, 1), torch.nan)
        for row, length in enumerate(lengths):
            fresh[row, :, :length, 0] = torch.arange(told[row], told[row] + length, dtype=torch.float32)
            told[row] += length
        held = recent.append(held, fresh, torch.tensor(lengths), keep)
        count = (count + torch.tensor(lengths)).clamp(max=keep)
    valid = recent.valid(count, held.shape[2], CPU)
    real = torch.ones(2, held.shape[2], dtype=torch.bool) if valid is None else valid
    for row, n in enumerate(told):
        for head in held[row]:
            assert head[real[row], 0].tolist() == list(range(max(n - keep, 0), n))


def test_entries_are_taken_over_without_their_gradient() -> None:
    fresh = torch.ones(1, 2, 1, requires_grad=True)
    for lengths in (2, 1):
        assert not recent.append(column(1), fresh, torch.tensor([lengths]), 3).requires_grad


def test_valid_slots_are_the_last_ones() -> None:
    expected = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]]).bool()
    assert torch.equal(recent.valid(torch.tensor([0, 1, 3, 4]), 4, CPU), expected)


def test_where_every_slot_is_real_there_is_no_mask() -> None:
    assert recent.valid(torch.tensor([4, 5]), 4, CPU) is None


@pytest.mark.parametrize("slots", [2, 3, 5])
def test_places_that_are_not_real_are_zeros(slots: int) -> None:
    held = torch.tensor([[[1.0], [2.0], [3.0]], [[math.nan], [math.nan], [6.0]]])
    found = recent.zeroed(held, torch.tensor([3, 1]), slots)
    expected = [[0.0, 0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0, 6.0]]
    assert found[..., 0].tolist() == [row[5 - slots :] for row in expected]
    heads = recent.zeroed(held[:, None].expand(-1, 2, -1, -1), torch.tensor([3, 1]), slots)
    assert torch.equal(heads[:, 1], found)
