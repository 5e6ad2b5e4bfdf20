"""Each policy, by what is known of the entries; places are those in `Held`, which are in no order."""

import pytest
import torch

from mnemon.index.evict import POLICIES, Held

# Entry 5 is the newest; its document, and that of 3, began at 30. Places:   0    1    2    3    4    5
HELD = Held(
    entry=torch.tensor([5, 0, 3, 1, 4, 2]),
    document=torch.tensor([30, 10, 30, 10, 30, 20]),
    age=torch.tensor([0, 9, 1, 9, 1, 1]),
    unused=torch.tensor([0, 2, 1, 9, 0, 1]),
    attention=torch.tensor([0.0, 5.0, 0.5, 3.0, 0.0, 0.0]),
)  # (1 + attention) / (1 + age): 1, 0.6, 0.75, 0.4, 0.5, 0.5


@pytest.mark.parametrize(
    ("evict", "gone"),
    [
        ("fifo", [[1], [1, 3], [1, 3, 5], [1, 3, 5, 2]]),
        ("lru", [[3], [3, 1], [3, 1, 5], [3, 1, 5, 2]]),
        ("attention", [[3], [3, 5], [3, 5, 4], [3, 5, 4, 1]]),
        ("document", [[1, 3], [1, 3], [1, 3, 5], [1, 3, 5, 2]]),
    ],
)
def test_what_a_full_row_gives_up(evict: str, gone: list[list[int]]) -> None:
    assert [POLICIES[evict](HELD, need).tolist() for need in range(1, 5)] == gone


def test_every_policy_is_tried() -> None:
    assert set(POLICIES) == {"fifo", "lru", "attention", "document"}
