"""Runs that are continued by other ranks than began them: `python others.py FOLDER` prints their losses as JSON."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import ranked
import tiny
from mnemon.config import Problem
from mnemon.train import read_records, resume, train
from mnemon.train.checkpoint import saved_steps
from mnemon.train.config import Parallel

# Memories wrap and caches are part full when the run is cut; AdamW, for Muon rounds in bfloat16.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "joint": ("memorizing-joint", {"accumulate": 2}),
    "hidden, span": ("all-attention", {"optimizer": "adagrad", "adagrad_clip": 0.03, "lr": 0.02}),
    "next, adafactor": ("memorizing-all-attention", {"optimizer": "adafactor", "drift_every": 3}),
}
CHANGES: list[tuple[int, Parallel, int, Parallel]] = [  # ranks and way before, and after
    (1, "auto", 2, "ddp"),
    (2, "ddp", 1, "ddp"),
    (1, "auto", 2, "fsdp"),
    (2, "fsdp", 1, "fsdp"),
    (2, "fsdp", 2, "ddp"),
]


def begin(out: Path, kind: str, ranks: int, parallel: Parallel) -> None:
    """A whole run, of which the last checkpoint is taken away."""
    name, settings = KINDS[kind]
    config = tiny.run_config(
        name, steps=12, threads=1, patience=60.0, parallel=parallel, **{"optimizer": "adamw", **settings}
    )
    assert ranked.forked(ranks, lambda: train(config, out, tiny.corpus())) == [0] * ranks
    shutil.rmtree(out / "checkpoints" / f"step-{saved_steps(out / 'checkpoints')[0]}")


def losses(out: Path) -> list[float]:
    return [record["loss"] for record in read_records(out)]


def changed(folder: Path) -> dict[str, dict[str, list[float]]]:
    """The losses of one process, and those of runs that changed ranks after step 10."""
    found: dict[str, dict[str, list[float]]] = {}
    for kind, (_, settings) in KINDS.items():
        ways: list[Parallel] = ["ddp"] if "drift_every" in settings else ["ddp", "fsdp"]
        for ranks, way in ((1, "auto"), *((2, way) for way in ways)):
            begin(folder / f"{kind}, {ranks} {way}", kind, ranks, way)
        found[kind] = {"whole": losses(folder / f"{kind}, 1 auto")}
        for before, way, after, then in CHANGES:
            if {way, then} <= {"auto", *ways}:
                out = folder / f"{kind}, {before} {way} {after} {then}"
                shutil.copytree(folder / f"{kind}, {before} {way}", out)
                statuses = ranked.forked(after, lambda out=out, then=then: resume(out, tiny.corpus(), parallel=then))
                assert statuses == [0] * after
                found[kind][out.name] = losses(out)
    return found


def three(out: Path) -> str:
    """What is said where lanes cannot be dealt to three ranks."""

    def go_on() -> None:
        try:
            resume(out, tiny.corpus())
        except Problem as problem:
            with open(out / "said", "a") as file:
                file.write(str(problem))
            raise

    assert 0 not in ranked.forked(3, go_on)
    return (out / "said").read_text()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print(json.dumps({"losses": changed(folder), "three": three(folder / "joint, 1 auto")}))
