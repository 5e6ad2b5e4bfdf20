"""Runs that are killed without warning, again and again: `python kills.py FOLDER ddp|fsdp KILLS`.

Prints as JSON how many kills there were, and whether the records are those of a run that nobody disturbed.
"""

import json
import random
import shutil
import sys
from pathlib import Path

import ranked
import tiny
from mnemon.train import RunConfig, read_records, resume, train

STEPS = 60


def config(parallel: str) -> RunConfig:
    """A run that spends much of its time on saving; under FSDP2 it saves while it goes on."""
    settings = {"parallel": parallel, "save_beside": parallel == "fsdp", "checkpoint_every": 2, "optimizer": "muon"}
    return tiny.run_config("memorizing", {"dropout": 0.1}, steps=STEPS, threads=1, patience=60.0, **settings)


def go_on(out: Path, parallel: str) -> None:
    """Begin the run, or continue it where it stands."""
    if (out / "config.json").exists():
        resume(out, tiny.corpus())
    else:
        train(config(parallel), out, tiny.corpus())


def records(out: Path) -> list[tuple[float, ...]]:
    """What must not depend on when a run was killed."""
    return [(each["step"], each["loss"], each["gradient_norm"], each["tokens"]) for each in read_records(out)]


def killed(folder: Path, parallel: str, kills: int) -> list[Path]:
    """Runs that were killed so often, all together, at moments drawn from a seed; in the end each was let end."""
    draw, done, outs = random.Random(0), 0, [folder / "cut"]
    while done < kills:
        out = outs[-1]
        statuses = ranked.forked(2, lambda out=out: go_on(out, parallel), lambda: draw.uniform(0.3, 2.5))
        if not any(status < 0 for status in statuses):
            outs.append(folder / f"cut-{len(outs)}")  # it was quicker
            continue
        done += 1
        if out.exists() and not (out / "config.json").exists():  # killed before there was anything to continue
            shutil.rmtree(out)
    assert ranked.forked(2, lambda: go_on(outs[-1], parallel)) == [0, 0]
    return outs


if __name__ == "__main__":
    folder, parallel, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    assert ranked.forked(2, lambda: go_on(folder / "whole", parallel)) == [0, 0]
    outs, whole = killed(folder, parallel, kills), records(folder / "whole")
    found = {"kills": kills, "steps": len(whole), "same": all(records(out) == whole for out in outs)}
    print(json.dumps({**found, "left": [path.name for out in outs for path in out.rglob(".*")]}))
