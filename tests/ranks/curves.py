"""Loss curves of every recipe's model on one rank and on two: `python curves.py auto|ddp|fsdp` prints them as JSON."""

import json
import sys
from typing import Any

import torch

import kinds
import ranked
import tiny
from mnemon.data import Lanes
from mnemon.data.byte_tokens import Bytes
from mnemon.recipes import RECIPES
from mnemon.train import TrainConfig
from mnemon.train.ranks import Ranks, joined
from mnemon.train.trainer import Trainer

STEPS, LANES = 12, 4
OPTIMIZER = ("optimizer", "muon_lr", "adagrad_clip", "adafactor_momentum", "clip", "betas", "eps", "weight_decay")
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # changes to the model, to the training
    "float32": ({}, {}),
    "bfloat16": ({}, {"precision": "bfloat16"}),
}
FURTHER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "checkpointing": ({"checkpointing": True}, {}),
    "accumulate": ({}, {"accumulate": 2}),
    "adafactor": ({}, {"optimizer": "adafactor", "lr": 0.01}),
    "adagrad": ({}, {"optimizer": "adagrad", "adagrad_clip": 0.03, "lr": 0.01}),
    "adamw": ({}, {"optimizer": "adamw", "lr": 0.003}),
    "muon": ({}, {"optimizer": "muon", "lr": 0.003}),
}
CASES = [(name, way, *WAYS[way]) for name in kinds.RECIPE_MODELS for way in WAYS]
CASES += [("memorizing-all-attention", way, *changes) for way, changes in FURTHER.items()]


def curve(name: str, model: dict[str, Any], train: dict[str, Any], parallel: str, ranks: Ranks) -> list[float]:
    """Losses of a recipe's small model, trained as the recipe says, on documents of unequal lengths."""
    recipe = RECIPES[name]().train
    settings = {each: getattr(recipe, each) for each in OPTIMIZER} | {"lr": min(recipe.lr, 0.02), **train}
    size = kinds.RECIPE_MODELS[name].replace(vocab_size=Bytes().vocab_size, **model)
    config = TrainConfig(
        steps=STEPS, warmup=2, lanes=LANES, segment=size.segment, device="cpu", parallel=parallel, **settings
    )
    trainer = Trainer(size.build(0), config, ranks)
    lanes = Lanes(tiny.documents(), Bytes(), LANES, size.segment, 0)
    return [trainer.advance(next(lanes))["loss"] for _ in range(STEPS)]


def work(parallel: str) -> None:
    """All curves, said by the first rank."""
    torch.set_num_threads(1)
    with joined(parallel, 200.0) as ranks:
        found = {f"{name}, {way}": curve(name, *changes, parallel, ranks) for name, way, *changes in CASES}
        if ranks.first:
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    way = sys.argv[1]
    sys.exit(max(ranked.forked(1 if way == "auto" else 2, lambda: work(way))))
