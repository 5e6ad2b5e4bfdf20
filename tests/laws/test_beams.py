"""Selected rows continue as each would have done by itself."""

import pytest
import torch

from kinds import MODELS
from models import awake, read, text


@pytest.mark.parametrize("name", MODELS)
def test_selected_rows_continue_as_if_each_had_read_its_text_alone(name: str) -> None:
    model, first, second, third = awake(MODELS[name]), text(2, 8), text(3, 4, seed=1), text(2, 6, seed=2)
    state = model.init_state(2)
    read(model, state, first)
    state.select(torch.tensor([1, 0, 1]))
    found = read(model, state, second)  # crosses a segment boundary: rows 0 and 2 part
    state.select(torch.tensor([2, 0]))
    again = read(model, state, third)
    histories = [torch.cat([first[1], second[2], third[0]]), torch.cat([first[1], second[0], third[1]])]
    expected = read(model, model.init_state(2), torch.stack(histories))
    torch.testing.assert_close(found[[2, 0]], expected[:, 8:12])
    torch.testing.assert_close(again, expected[:, 12:])
    middle = torch.cat([first[0], second[1]])
    torch.testing.assert_close(found[1], read(model, model.init_state(1), middle[None])[0, 8:])


@pytest.mark.parametrize("name", MODELS)
def test_a_selected_row_can_be_reset_by_itself(name: str) -> None:
    model, first, second = awake(MODELS[name]), text(1, 8), text(2, 7, seed=1)
    state = model.init_state(1)
    read(model, state, first)
    state.select(torch.tensor([0, 0]))
    state.reset(torch.tensor([False, True]))
    found = read(model, state, second)
    whole = read(model, model.init_state(1), torch.cat([first, second[:1]], dim=1))
    torch.testing.assert_close(found[0], whole[0, 8:])
    torch.testing.assert_close(found[1], read(model, model.init_state(1), second[1:])[0])
