"""Every model runs in every precision, and says about the same in each."""

import contextlib

import pytest
import torch

from kinds import MODELS
from mnemon.model import Transformer
from models import awake, text

LIMITS = {"float64": 1e-4, "bfloat16 autocast": 0.1, "bfloat16 weights": 0.15}


def told(model: Transformer, precision: str) -> torch.Tensor:
    """Losses over three segments, the second reset of a row included, with a backward pass each."""
    losses = []
    state = model.init_state(2)
    for step in range(3):
        tokens, targets = text(2, 5, seed=step), text(2, 5, seed=step + 10)
        casting = torch.autocast("cpu", torch.bfloat16) if "autocast" in precision else contextlib.nullcontext()
        with casting:
            output, update = model(tokens, state)
            loss = model.head.nll(output.hidden, targets)
        loss.sum().backward()
        state.commit(update)
        state.reset(torch.tensor([step == 1, False]))
        losses.append(loss.detach())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
    return torch.cat(losses)


@pytest.mark.parametrize("name", MODELS)
def test_losses_agree_across_precisions(name: str) -> None:
    plain = told(awake(MODELS[name], torch.float32), "float32")
    assert plain.dtype == torch.float32
    for precision, limit in LIMITS.items():
        dtype = {"float64": torch.float64, "bfloat16 weights": torch.bfloat16}.get(precision, torch.float32)
        found = told(awake(MODELS[name], dtype), precision)
        assert found.dtype == (torch.float64 if precision == "float64" else torch.float32)
        assert ((found - plain).abs().mean() / plain.mean()).item() < limit, precision


@pytest.mark.parametrize("name", MODELS)
def test_inference_mode_says_the_same(name: str) -> None:
    model = awake(MODELS[name], torch.float32)
    with torch.inference_mode():
        state = model.init_state(2)
        for step in range(3):
            found, update = model(text(2, 5, seed=step), state)
            state.commit(update)
    state = model.init_state(2)
    for step in range(3):
        expected, update = model(text(2, 5, seed=step), state)
        state.commit(update)
    torch.testing.assert_close(found.hidden, expected.hidden, atol=1e-4, rtol=1e-4)  # another kernel
