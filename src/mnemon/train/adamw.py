from collections.abc import Iterable

from torch import nn
from torch.optim import AdamW, Optimizer

from mnemon.train.config import TrainConfig


def adamw(model: nn.Module, config: TrainConfig) -> list[Optimizer]:
    """AdamW over all parameters (arXiv 1711.05101)."""
    return [adamw_over(model.parameters(), config)]


def adamw_over(parameters: Iterable[nn.Parameter], config: TrainConfig) -> Optimizer:
    """AdamW over some parameters: those of two or more dimensions decay; gains, gates, scales and biases do not."""
    chosen = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in chosen if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in chosen if p.ndim < 2], "weight_decay": 0.0},
    ]
    filled = [group for group in groups if group["params"]]
    return AdamW(filled, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)
