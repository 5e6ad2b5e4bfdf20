from collections.abc import Iterable

from torch import nn
from torch.optim import AdamW, Optimizer

from mnemon.train.config import TrainConfig
from mnemon.train.groups import groups


def adamw(model: nn.Module, config: TrainConfig) -> list[Optimizer]:
    """AdamW over all parameters (arXiv 1711.05101); without weight decay it is Adam (arXiv 1412.6980)."""
    return [adamw_over(model.parameters(), config)]


def adamw_over(parameters: Iterable[nn.Parameter], config: TrainConfig) -> Optimizer:
    """AdamW over some parameters."""
    chosen = groups(parameters, config.weight_decay)
    return AdamW(chosen, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)
