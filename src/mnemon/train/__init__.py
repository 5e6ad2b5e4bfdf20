from mnemon.train.config import RunConfig, TrainConfig
from mnemon.train.fit import fit
from mnemon.train.loop import resume, train
from mnemon.train.metrics import read_records
from mnemon.train.optimizers import OPTIMIZERS
from mnemon.train.run import Run, load_run, read_config
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
    "read_config",
    "read_records",
    "resume",
    "train",
]
