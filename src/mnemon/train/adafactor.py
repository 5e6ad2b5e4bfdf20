import math
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
        pieces = _pieces(p)
        factors = _factors(state, g, pieces, state["step"].item() ** -group["decay"], group["factor_from"])
        room = torch.empty_like(g[pieces[0]])
        total = sum((_product(room, g, factors, piece).square_().sum() for piece in pieces), torch.zeros(()))
        rate = group["lr"] * _rms(p).clamp(min=group["floor"])
        rate = rate / ((total / g.numel()).sqrt() / group["clip"]).clamp(min=1.0)
        if group["weight_decay"]:
            p.mul_(1 - group["lr"] * group["weight_decay"])
        momentum = state.setdefault("momentum", torch.zeros_like(p)) if group["momentum"] else None
        for piece in pieces:
            update = _product(room, g, factors, piece).mul_(rate)
            if momentum is not None:
                update = momentum[piece].lerp_(update, 1 - group["momentum"])
            p[piece].sub_(update)


EPS = 1e-30  # added to the squared gradient
PIECE = 1 << 18  # entries that are worked on at once on a CPU: they stay in its cache from one operation to the next


def _pieces(p: Tensor) -> list[slice]:
    """The rows of a matrix, some at a time; all of another tensor."""
    if p.ndim != 2 or p.device.type != "cpu":
        return [slice(None)]
    rows = max(1, PIECE // max(1, p.shape[1]))
    return [slice(first, min(first + rows, len(p))) for first in range(0, len(p), rows)]


def _product(room: Tensor, g: Tensor, factors: tuple[Tensor, ...], piece: slice) -> Tensor:
    """A piece of the gradient times the factors, put into `room`; each is as large as g or has lengths of 1."""
    product = room[: len(g[piece])].copy_(g[piece])
    for factor in factors:
        product.mul_(factor if len(factor) == 1 else factor[piece])
    return product


def _rms(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x) / math.sqrt(x.numel())


def _factors(
    state: dict[str, Any], g: Tensor, pieces: list[slice], share: float, factor_from: int
) -> tuple[Tensor, ...]:
    """Tensors whose product is 1 / sqrt(v), after v has taken up `share` of the squared gradient."""
    dims = sorted(range(g.ndim), key=lambda dim: g.shape[dim])[-2:]
    if len(dims) < 2 or g.shape[dims[0]] < factor_from:
        return (state.setdefault("square", torch.zeros_like(g)).lerp_(g * g + EPS, share).rsqrt(),)
    over = _means(g, pieces, dims)
    means = {"row": over[dims[1]], "column": over[dims[0]]}
    row, column = (state.setdefault(name, torch.zeros_like(m)).lerp_(m, share) for name, m in means.items())
    # Two roots, for the product of two very small means would be 0.
    return (row / row.mean(dims[0], keepdim=True)).rsqrt(), column.rsqrt()


def _means(g: Tensor, pieces: list[slice], dims: list[int]) -> dict[int, Tensor]:
    """Means of g^2 + eps over each of the two dimensions."""
    if len(pieces) == 1:
        square = g * g + EPS
        return {dim: square.mean(dim, keepdim=True) for dim in dims}
    columns, rows = g.new_zeros(1, g.shape[1]), g.new_empty(len(g), 1)
    for piece in pieces:
        square = g[piece].square()
        columns += square.sum(0, keepdim=True)
        torch.mean(square, 1, keepdim=True, out=rows[piece])
    return {0: columns / len(g) + EPS, 1: rows + EPS}
