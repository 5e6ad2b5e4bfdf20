"""Gradients are those of the formula: whatever is recomputed, and only with the memory that was read."""

import pytest
import torch

from kinds import MODELS, REMEMBERING
from mnemon.model import ModelConfig, Transformer
from models import awake, read, text

DROPPING = {"attention__dropout": 0.3, "dropout": 0.2, "final_dropout": 0.1}


def gradients(model: Transformer, hidden: torch.Tensor) -> list[torch.Tensor]:
    uneven = torch.linspace(-1, 1, hidden.numel(), dtype=hidden.dtype).view_as(hidden)
    return list(torch.autograd.grad((hidden * uneven).sum(), list(model.parameters()), materialize_grads=True))


@pytest.mark.parametrize("dropping", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_recomputing_layers_changes_no_output_and_no_gradient(name: str, dropping: bool) -> None:
    config = MODELS[name].replace(**DROPPING) if dropping else MODELS[name]
    found = []
    for checkpointing in (False, True):
        model = awake(config.replace(checkpointing=checkpointing))
        state = model.init_state(2)
        read(model, state, text(2, 10))
        torch.manual_seed(0)
        hidden = model.train()(text(2, 5, seed=1), state)[0].hidden
        found.append([hidden, *gradients(model, hidden)])
    torch.testing.assert_close(*found, rtol=0, atol=1e-12)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", REMEMBERING)
def test_a_memory_written_before_backward_raises_instead_of_giving_wrong_gradients(
    name: str, checkpointing: bool
) -> None:
    model = awake(REMEMBERING[name].replace(checkpointing=checkpointing))
    state = model.init_state(2)
    read(model, state, text(2, 10))
    output, update = model(text(2, 5, seed=1), state)
    state.commit(update)
    with pytest.raises(RuntimeError, match="after its backward"):
        output.hidden.sum().backward()


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", REMEMBERING)
def test_a_reset_before_backward_changes_no_gradient(name: str, checkpointing: bool) -> None:
    model = awake(REMEMBERING[name].replace(checkpointing=checkpointing))
    found = []
    for early in (False, True):
        state = model.init_state(2)
        read(model, state, text(2, 10))
        output, _ = model(text(2, 3, seed=1), state)
        if early:
            state.reset(torch.tensor([True, True]))
        found.append(gradients(model, output.hidden))
    torch.testing.assert_close(*found, rtol=0, atol=1e-12)


def test_recomputed_layers_search_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = awake(REMEMBERING["memorizing"].replace(checkpointing=True))
    state = model.init_state(2)
    read(model, state, text(2, 10))
    searches: list[torch.Tensor] = []
    store = state.states[1]["knn"].store
    plain = store.find

    def counted(q: torch.Tensor, *rest: object) -> object:
        searches.append(q)
        return plain(q, *rest)

    monkeypatch.setattr(store, "find", counted)
    model(text(2, 3), state)[0].hidden.sum().backward()
    assert len(searches) == 1
    assert not searches[0].requires_grad


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_commit_that_writes_no_memory_may_come_before_backward(name: str, checkpointing: bool) -> None:
    model = awake(MODELS[name].replace(checkpointing=checkpointing))
    found = []
    for early in (False, True):
        state = model.init_state(2)
        read(model, state, text(2, 10))
        output, update = model(text(2, 3, seed=1), state)
        if early:
            state.commit(update)
        found.append(gradients(model, output.hidden))
    torch.testing.assert_close(*found, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_is_in_the_graph_from_the_first_token_on(name: str) -> None:
    model = awake(MODELS[name])
    state, tokens, targets = model.init_state(2), text(2, 5), text(2, 5, seed=1)
    for t in (1, 4, 5):
        model.zero_grad()
        output, update = model(tokens[:, :t], state)
        (model.head.nll(output.hidden, targets[:, :t]).sum() + output.penalty).backward()
        state.commit(update)
        for parameter_name, parameter in model.named_parameters():
            assert parameter.grad is not None, parameter_name
            assert bool(parameter.grad.isfinite().all()), parameter_name


@pytest.mark.parametrize("name", MODELS)
def test_what_is_remembered_carries_no_gradient(name: str) -> None:
    model = awake(MODELS[name])
    state = model.init_state(2)
    read(model, state, text(2, 8))
    assert not any(tensor.requires_grad for tensor in state.tensors().values())


@pytest.mark.parametrize("name", REMEMBERING)
def test_gradients_with_a_memory_are_those_of_the_loss(name: str) -> None:
    """Along a random direction, by finite differences in float64."""
    config: ModelConfig = REMEMBERING[name]
    model = awake(config)
    state, tokens = model.init_state(2), text(2, 5, seed=1)
    read(model, state, text(2, 10))
    attention = model.blocks[1].attention
    parameters = [p for p in (attention.q.weight, attention.scale, attention.gate) if isinstance(p, torch.nn.Parameter)]
    draw = torch.Generator().manual_seed(3)
    direction = [torch.randn(p.shape, generator=draw, dtype=torch.float64) for p in parameters]
    uneven = torch.linspace(-1, 1, 2 * 5 * 12, dtype=torch.float64).view(2, 5, 12)

    def loss(step: float) -> torch.Tensor:
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p.add_(step * d)
        total = (model(tokens, state)[0].hidden * uneven).sum()
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p.sub_(step * d)
        return total

    step = 1e-7
    slope = (loss(step) - loss(-step)).item() / (2 * step)
    found = torch.autograd.grad((model(tokens, state)[0].hidden * uneven).sum(), parameters)
    expected = sum((g * d).sum().item() for g, d in zip(found, direction, strict=True))
    assert slope == pytest.approx(expected, rel=1e-5, abs=1e-6)
