import importlib

from torch import nn
from torch.optim import Optimizer

from mnemon.config import Problem
from mnemon.train.config import TrainConfig
from mnemon.train.engine import Engine, Whole
from mnemon.train.optimizers import make_optimizers
from mnemon.train.ranks import Ranks


def make_engine(model: nn.Module, config: TrainConfig, ranks: Ranks) -> Engine:
    """What holds the weights, as `parallel` says: whole on every rank (auto, ddp) or shared out (fsdp)."""

    def make(model: nn.Module) -> list[Optimizer]:
        return make_optimizers(model, config)

    if ranks.size == 1 or config.parallel != "fsdp":
        return Whole(model, make, ranks)
    if config.drift_every or config.reencode_every:
        raise Problem("drift_every and reencode_every read with all weights at once: take parallel ddp")
    # Its import takes as long as torch's own, so it waits until it is wanted.
    engine: Engine = importlib.import_module("mnemon.train.sharded").Sharded(model, make, ranks)
    return engine
