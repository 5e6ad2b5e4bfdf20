from collections.abc import Callable

from torch import nn
from torch.optim import Optimizer

from mnemon.config import Problem, nearest
from mnemon.train.adafactor import adafactor
from mnemon.train.adagrad import adagrad
from mnemon.train.adamw import adamw
from mnemon.train.config import TrainConfig
from mnemon.train.muon import muon

OPTIMIZERS: dict[str, Callable[[nn.Module, TrainConfig], list[Optimizer]]] = {
    "adamw": adamw,
    "muon": muon,
    "adagrad": adagrad,
    "adafactor": adafactor,
}


def make_optimizers(model: nn.Module, config: TrainConfig) -> list[Optimizer]:
    """The optimisers that the config names; each parameter of the model is in one group of one of them.

    A group's learning rate is its highest one, which the schedule scales.
    """
    if config.optimizer not in OPTIMIZERS:
        raise Problem(f"optimizer {config.optimizer!r}: no such kind{nearest(config.optimizer, list(OPTIMIZERS))}")
    return OPTIMIZERS[config.optimizer](model, config)
