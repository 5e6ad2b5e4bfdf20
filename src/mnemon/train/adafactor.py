from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mnemon.train.config import TrainConfig
from mnemon.train.groups import groups
from mnemon.train.tensors import TensorOptimizer


def adafactor(model: nn.Module, config: TrainConfig) -> list[Optimizer]:
    """`Adafactor` over all parameters."""
    chosen = groups(model.parameters(), config.weight_decay)
    return [Adafactor(chosen, config.lr, config.adafactor_momentum)]


class Adafactor(TensorOptimizer):
    """Adafactor, with a second moment kept as a row and a column where a tensor is large.

        v <- b v + (1 - b) (g^2 + eps),   b = 1 - t^-decay
        u  = g / sqrt(v),                 u <- u / max(1, rms(u) / clip)
        m <- momentum m + (1 - momentum) lr max(rms(p), floor) u
        p <- p - m

    t counts steps from 1. Over the two largest dimensions, where both have `factor_from` or more, v is replaced by
    row x column / mean(row), of which row and column are kept as means over the other dimension. `weight_decay` takes
    lr times that share of p first. arXiv 1804.04235; the settings are those that arXiv 2203.08913 was trained with.

    `torch.optim.Adafactor` is another one: without momentum, every matrix factored, lr at most 1 / sqrt(t).
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        momentum: float = 0.0,
        decay: float = 0.8,
        clip: float = 1.0,
        floor: float = 1e-3,
        factor_from: int = 128,
        weight_decay: float = 0.0,
    ):
        defaults = {"lr": lr, "momentum": momentum, "decay": decay, "clip": clip, "floor": floor}
        super().__init__(params, {**defaults, "factor_from": factor_from, "weight_decay": weight_decay})

    def move(self, p: Tensor, g: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros(())
        state["step"] += 1
        update = g * _root(state, g * g + EPS, state["step"].item() ** -group["decay"], group["factor_from"])
        update.div_((_rms(update) / group["clip"]).clamp(min=1.0))
        update.mul_(group["lr"] * _rms(p).clamp(min=group["floor"]))
        if group["momentum"]:
            update = state.setdefault("momentum", torch.zeros_like(p)).lerp_(update, 1 - group["momentum"])
        p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update)


EPS = 1e-30  # added to the squared gradient


def _rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()


def _root(state: dict[str, Any], square: Tensor, share: float, factor_from: int) -> Tensor:
    """1 / sqrt(v) after v has taken up `share` of the squared gradient."""
    dims = sorted(range(square.ndim), key=lambda dim: square.shape[dim])[-2:]
    if len(dims) < 2 or square.shape[dims[0]] < factor_from:
        return state.setdefault("square", torch.zeros_like(square)).lerp_(square, share).rsqrt()
    means = {"row": square.mean(dims[1], keepdim=True), "column": square.mean(dims[0], keepdim=True)}
    row, column = (state.setdefault(name, torch.zeros_like(m)).lerp_(m, share) for name, m in means.items())
    # Two roots, for the product of two very small means would be 0.
    return (row / row.mean(dims[0], keepdim=True)).rsqrt() * column.rsqrt()
