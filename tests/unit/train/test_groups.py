import pytest
import torch
from torch import nn

import tiny
from mnemon.train import OPTIMIZERS, TrainConfig
from mnemon.train.groups import groups
from mnemon.train.optimizers import make_optimizers


def test_an_empty_group_is_left_out() -> None:
    gain = nn.Parameter(torch.ones(3))
    assert groups([gain], 0.1) == [{"params": [gain], "weight_decay": 0.0}]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_decay_takes_the_rate_times_its_share_of_matrices_alone(kind: str) -> None:
    model = tiny.model().build()
    before = [p.detach().clone() for p in model.parameters()]
    config = TrainConfig(optimizer=kind, lr=0.25, muon_lr=0.25, weight_decay=0.5)
    for optimizer in make_optimizers(model, config):
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
    for p, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(p.detach(), old * (0.875 if p.ndim >= 2 else 1))
