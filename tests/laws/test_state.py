"""Reading writes nothing, a commit writes once, and a saved state continues as if nothing had happened."""

import pytest
import torch

from kinds import FAITHFUL_MODELS, MODELS, REMEMBERING
from models import awake, read, same, text


@pytest.mark.parametrize("name", MODELS | FAITHFUL_MODELS)
def test_reading_writes_nothing_and_reads_the_same_again(name: str) -> None:
    model, tokens = awake((MODELS | FAITHFUL_MODELS)[name]), text(2, 3, seed=1)
    state = model.init_state(2)
    read(model, state, text(2, 7))
    before = {key: tensor.clone() for key, tensor in state.tensors().items()}
    first, second = (model(tokens, state, inspect=inspect)[0].hidden for inspect in (False, False))
    model(tokens, state, inspect=True)
    assert torch.equal(first, second)
    assert same(state.tensors(), before)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_not_committed_is_not_remembered(name: str) -> None:
    model = awake(MODELS[name])
    state, twin = model.init_state(2), model.init_state(2)
    for each in (state, twin):
        read(model, each, text(2, 7))
    model(text(2, 3, seed=1), twin)
    rest = text(2, 5, seed=2)
    assert torch.equal(read(model, twin, rest), read(model, state, rest))


@pytest.mark.parametrize("name", REMEMBERING)
def test_every_token_is_written_once(name: str) -> None:
    model = awake(REMEMBERING[name].replace(pools__knn__size=40))
    state = model.init_state(2)
    for lengths, ends in (
        ([5, 3], [False, True]),
        ([2, 2], [False, False]),
        ([3, 3], [False, False]),
        ([0, 4], [False, True]),
        ([5, 0], [True, False]),
    ):
        _, update = model(text(2, max(lengths)), state, lengths=torch.tensor(lengths))
        state.commit(update, torch.tensor(ends))
    store = state.states[1]["knn"].store
    assert store.written.tolist() == [15, 12]
    assert store.positions[0, :15].tolist() == list(range(15))
    assert store.positions[1, :12].tolist() == list(range(12))


@pytest.mark.parametrize("name", REMEMBERING)
def test_an_update_cannot_be_written_twice(name: str) -> None:
    model = awake(REMEMBERING[name])
    state = model.init_state(2)
    _, update = model(text(2, 5), state)
    state.commit(update)
    with pytest.raises(ValueError, match="committed before"):
        state.commit(update)
    assert state.states[1]["knn"].store.written.tolist() == [5, 5]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_state_continues_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    model, rest = awake(MODELS[name], dtype), text(2, 8, seed=1)
    for told in (5, 8):
        state = model.init_state(2)
        read(model, state, text(2, told))
        state.reset(torch.tensor([told == 5, False]), memory=False)
        loaded = model.init_state(2)
        loaded.load({key: tensor.clone() for key, tensor in state.tensors().items()})
        assert torch.equal(read(model, loaded, rest), read(model, state, rest))
        assert same(loaded.tensors(), state.tensors())
