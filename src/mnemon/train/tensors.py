from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class TensorOptimizer(Optimizer, ABC):
    """An optimiser that moves one parameter after the other, each by what it knows of that one alone."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.move(p, p.grad, group)

    @abstractmethod
    def move(self, p: Tensor, g: Tensor, group: dict[str, Any]) -> None:
        """Change `p` in place by its gradient `g`; `self.state[p]` is what is remembered of it."""
