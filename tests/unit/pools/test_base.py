from dataclasses import dataclass

import torch
from torch import Tensor

from mnemon.pools import State
from streams import segment, whole


@dataclass(frozen=True)
class Pair(State):
    size: int
    left: Tensor
    right: Tensor


def test_tensors_of_a_state_have_their_fields_names() -> None:
    state = Pair(3, torch.zeros(2), torch.ones(2, 3).mT)
    found = state.tensors("7.pair")
    assert list(found) == ["7.pair.left", "7.pair.right"]
    assert torch.equal(found["7.pair.right"], state.right)
    assert all(tensor.is_contiguous() for tensor in found.values()), "files hold only such"


def test_a_state_is_loaded_field_by_field_and_keeps_what_is_no_tensor() -> None:
    state = Pair(3, torch.zeros(2), torch.ones(2, 3))
    loaded = state.loaded("p", {"p.left": torch.full((2,), 5.0), "other.right": torch.zeros(1)})
    assert torch.equal(loaded.left, torch.full((2,), 5.0))
    assert loaded.right is state.right
    assert loaded.size == 3


def test_every_token_is_real_unless_lengths_say_otherwise() -> None:
    assert whole([0, 0], 5).real().tolist() == [5, 5]
    assert segment([0, 0], [3, 1]).real().tolist() == [3, 1]
