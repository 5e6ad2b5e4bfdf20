from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mnemon.train.config import TrainConfig
from mnemon.train.groups import groups
from mnemon.train.tensors import TensorOptimizer


def adagrad(model: nn.Module, config: TrainConfig) -> list[Optimizer]:
    """`ClippedAdagrad` over all parameters."""
    chosen = groups(model.parameters(), config.weight_decay)
    return [ClippedAdagrad(chosen, config.lr, config.adagrad_clip, config.eps)]


class ClippedAdagrad(TensorOptimizer):
    """Adagrad that clips each tensor's gradient through that tensor's step size.

        a <- a + g^2
        p <- p - lr min(1, clip / |g|) g / (sqrt(a) + eps)

    g is the gradient as it is, |g| its Euclidean norm over the tensor, a starts at 0: what is accumulated is not
    clipped, so a tensor of large gradients slows down as if there were no clipping. `weight_decay` takes lr times that
    share of p first. All-attention networks, arXiv 1907.01470 (lr 0.07, clip 0.03, eps 1e-10); arXiv 1905.07799.
    """

    def __init__(
        self, params: Any, lr: float, clip: float | None = None, eps: float = 1e-10, weight_decay: float = 0.0
    ):
        super().__init__(params, {"lr": lr, "clip": clip, "eps": eps, "weight_decay": weight_decay})

    def move(self, p: Tensor, g: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["sum"] = torch.zeros_like(p)
        update = g / state["sum"].addcmul_(g, g).sqrt().add_(group["eps"])
        if group["clip"] is not None:
            update.mul_(group["clip"] / g.norm().clamp(min=group["clip"]))
        p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=group["lr"])
