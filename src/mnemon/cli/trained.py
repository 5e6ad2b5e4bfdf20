"""What commands that train have in common: continuing, and showing where the training stands."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from mnemon.cli.flags import parse
from mnemon.cli.progress import Phases, Steps
from mnemon.config import Problem
from mnemon.train import Record
from mnemon.train.config import Parallel
from mnemon.train.ranks import speaks


@dataclass(frozen=True, kw_only=True)
class Further:
    steps: int | None = None
    """train to this step (default: as it was begun)"""
    parallel: Parallel | None = None
    """how several ranks hold the weights from now on (default: as it was begun)"""


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Continue a training from its newest checkpoint, on as many ranks as before or on others."""

    resume: Path
    """folder to continue"""
    train_section: Annotated[Further, tyro.conf.arg(name="train")] = Further()
    json: bool = False
    """print one JSON value at the end"""


Job = Callable[[], None]


def of_all_ranks(asked: Callable[[], Job]) -> Job:
    """The job that words ask for; all ranks were given the same, and what is wrong with them one says."""
    try:
        return asked()
    except Problem:
        if speaks():
            raise
        raise SystemExit(2) from None


def resumed(words: list[str], prog: str) -> Resume | None:
    """What the words ask for, where it is to continue a training."""
    asked = any(word.partition("=")[0] == "--resume" for word in words)
    return parse(Resume, words, prog) if asked else None


def steps_of(read: Callable[[], Any], further: int | None) -> int:
    """The last step of a training that is continued; a config that cannot be read is said by who continues it."""
    if further is not None:
        if further < 1:
            raise Problem(f"--train.steps {further}: train to a step from 1 on")
        return further
    try:
        return int(read().train.steps)
    except Problem:
        return 0


def shown(job: Callable[..., Any], total: int, out: Path, config: str, prog: str) -> Record:
    """Run the job under a progress bar; its last step. Interrupted, it can be continued once `out` has its config."""
    try:
        with Phases(None if speaks() else Console(quiet=True)) as show:
            steps = Steps(show, total)
            job(on_step=steps)
    except KeyboardInterrupt:
        if not (out / config).exists():
            raise
        raise KeyboardInterrupt(f"interrupted; continue with: {prog} --resume {out}") from None
    return steps.last
