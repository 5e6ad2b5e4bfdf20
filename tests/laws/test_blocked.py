"""Attention by blocks is the reference, in every kind of model: outputs and gradients."""

import pytest
import torch

from kinds import FAITHFUL_MODELS, MODELS
from mnemon.ops import context, window
from models import awake, text

KINDS = MODELS | FAITHFUL_MODELS


@pytest.mark.parametrize("name", KINDS)
def test_blocks_equal_the_reference_in_outputs_and_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for least in (1, 1 << 30):
        monkeypatch.setattr(context, "LEAST", least)
        monkeypatch.setattr(context, "SCORES", 0)
        monkeypatch.setattr(window, "BLOCK", 2)
        model = awake(KINDS[name], torch.float64)
        state, tokens = model.init_state(2), text(2, 15)
        for piece in tokens[:, :10].split(5, dim=1):
            state.commit(model(piece, state)[1])
        output, _ = model(tokens[:, 10:], state)
        loss = output.hidden.square().sum() + output.penalty
        slopes = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True)
        found.append([output.hidden, *slopes])
    torch.testing.assert_close(*found)
