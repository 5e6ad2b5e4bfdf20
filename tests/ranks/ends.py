"""Jobs of two ranks that end as soon as the last word is said: `python ends.py JOBS` counts those that did end."""

import sys

import torch
from torch import nn

import ranked
from mnemon.train.ranks import Ranks, joined


def talk(model: nn.Module, ranks: Ranks) -> None:
    for _ in range(3):
        model(torch.randn(4, 64)).sum().backward()
        ranks.sum(torch.ones(1))
    with ranks.together():
        pass


def job() -> None:
    with joined("ddp", 60.0) as ranks:
        model = nn.parallel.DistributedDataParallel(nn.Linear(64, 64))
        talk(model, ranks)
    del ranks, model  # what averages gradients is freed last


if __name__ == "__main__":
    ranked.LIMIT = 20
    print(sum(ranked.forked(2, job) == [0, 0] for _ in range(int(sys.argv[1]))))
