"""Rows know nothing of each other, and a reset concerns its rows alone."""

import pytest
import torch

from kinds import MODELS
from models import awake, read, same, text

# Adaptive input projects the words of one cluster together, so another row may change the last bit.
BIT_FOR_BIT = [name for name, config in MODELS.items() if config.embedding.kind == "plain"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", BIT_FOR_BIT)
def test_what_one_row_reads_or_forgets_changes_no_bit_of_another(name: str, dtype: torch.dtype) -> None:
    model = awake(MODELS[name], dtype)
    states, tokens = [model.init_state(2) for _ in range(3)], [text(2, 15) for _ in range(3)]
    tokens[1][1] = text(1, 15, seed=1)[0]
    for state, each in zip(states, tokens, strict=True):
        read(model, state, each[:, :10])
    states[2].reset(torch.tensor([False, True]), memory=dtype == torch.float32)
    plain, other, forgot = (read(model, state, each[:, 10:]) for state, each in zip(states, tokens, strict=True))
    assert torch.equal(other[0], plain[0])
    assert torch.equal(forgot[0], plain[0])
    assert not torch.equal(other[1], plain[1])


@pytest.mark.parametrize("name", MODELS)
def test_rows_in_another_order_give_the_same_in_that_order(name: str) -> None:
    model, order = awake(MODELS[name]), torch.tensor([2, 0, 1])
    tokens, rest = text(3, 8), text(3, 7, seed=1)
    states = model.init_state(3), model.init_state(3)
    read(model, states[0], tokens)
    read(model, states[1], tokens[order])
    states[0].reset(torch.tensor([True, False, False]))
    states[1].reset(torch.tensor([False, True, False]))
    plain, found = (read(model, state, x) for state, x in zip(states, (rest, rest[order]), strict=True))
    torch.testing.assert_close(found, plain[order])


@pytest.mark.parametrize("told", [5, 13])
@pytest.mark.parametrize("name", MODELS)
def test_after_a_reset_a_row_reads_as_if_it_had_read_nothing(name: str, told: int) -> None:
    model, rest = awake(MODELS[name]), text(2, 12, seed=1)
    state = model.init_state(2)
    read(model, state, text(2, told))
    state.reset(torch.tensor([True, True]))
    torch.testing.assert_close(read(model, state, rest), read(model, model.init_state(2), rest))


@pytest.mark.parametrize("name", MODELS)
def test_a_reset_is_seen_from_outside(name: str) -> None:
    model = awake(MODELS[name])
    states = model.init_state(2), model.init_state(2)
    for state in states:
        read(model, state, text(2, 8))
    states[1].reset(torch.tensor([True, False]))
    assert states[1].position.tolist() == [0, 8]
    assert not same(states[0].tensors(), states[1].tensors())
    kept, forgot = (model(text(2, 2, seed=1), state)[0].hidden for state in states)
    assert not torch.allclose(kept[0], forgot[0])
