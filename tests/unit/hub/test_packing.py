import pytest
import torch

from hub_models import causal
from mnemon.hub import MnemonCache
from mnemon.hub.packing import Packed
from models import text


def test_real_tokens_are_moved_to_the_left() -> None:
    tokens = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 1, 2, 3]])
    real = torch.tensor([[1, 1, 1, 0], [0, 0, 1, 0], [0, 1, 0, 1]]).bool()
    packed = Packed.of(tokens, real)
    assert packed.tokens.tolist() == [[1, 2, 3], [7, 0, 0], [1, 3, 0]]
    assert packed.lengths.tolist() == [3, 1, 2]
    assert packed.latest.tolist() == [[0, 1, 2, 2], [0, 0, 0, 0], [0, 0, 0, 1]]


def test_what_tokens_gave_stands_under_their_columns() -> None:
    real = torch.tensor([[1, 1, 1, 0], [0, 0, 1, 0], [0, 1, 0, 1]]).bool()
    packed = Packed.of(torch.zeros(3, 4, dtype=torch.long), real)
    # Row 0 was cut after two tokens, the others were not.
    parts = [
        torch.tensor([[10, 11], [20, 0], [30, 31]])[..., None].float(),
        torch.tensor([[12], [0], [0]])[..., None].float(),
    ]
    found = packed.columns(parts, torch.tensor([[0, 1, 2], [0, 0, 0], [0, 1, 0]]))
    assert found[..., 0].tolist() == [[10, 11, 12, 12], [20, 20, 20, 20], [30, 30, 30, 31]]


def test_rows_that_are_not_at_the_same_place_are_cut_each_at_its_own_boundaries() -> None:
    model = causal("memorizing").model.transformer
    cache, tokens = MnemonCache(), text(2, 23)
    mask = torch.arange(9) >= torch.tensor([[0], [6]])
    cache.read(model, Packed.of(tokens[:, :9], mask))
    with torch.no_grad():
        reading = cache.read(model, Packed.of(tokens[:, 9:], torch.ones(2, 14, dtype=torch.bool)))
    assert [update[0].real().tolist() for update in reading.updates] == [[1, 2], [5, 5], [5, 5], [3, 2]]
    assert reading.state.position.tolist() == [23, 17]


@pytest.mark.parametrize("grad", [False, True])
def test_a_state_is_written_to_unless_a_gradient_is_to_come(grad: bool) -> None:
    model = causal("memorizing").model.transformer
    cache = MnemonCache()
    whole = torch.ones(1, 8, dtype=torch.bool)
    cache.read(model, Packed.of(text(1, 8), whole))
    state = cache.state
    with torch.set_grad_enabled(grad):
        cache.read(model, Packed.of(text(1, 8, seed=1), whole))
    assert (cache.state is state) == (not grad)
