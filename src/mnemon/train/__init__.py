from mnemon.train.config import RunConfig, TrainConfig
from mnemon.train.fit import fit
from mnemon.train.loop import resume, train
from mnemon.train.optimizers import OPTIMIZERS
from mnemon.train.run import Run, load_run
from mnemon.train.trainer import Record, Trainer

__all__ = [
    "OPTIMIZERS",
    "Record",
    "Run",
    "RunConfig",
    "TrainConfig",
    "Trainer",
    "fit",
    "load_run",
    "resume",
    "train",
]
