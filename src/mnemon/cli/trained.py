"""What commands that train have in common: continuing, and showing where the training stands."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from rich.console import Console

from mnemon.cli.flags import parse
from mnemon.cli.progress import Phases, Steps
from mnemon.train import Record
from mnemon.train.ranks import speaks


@dataclass(frozen=True, kw_only=True)
class Further:
    steps: int | None = None
    """train to this step (default: as it was begun)"""


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Continue a training from its newest checkpoint."""

    resume: Path
    """folder to continue"""
    train_section: Annotated[Further, tyro.conf.arg(name="train")] = Further()
    json: bool = False
    """print one JSON value at the end"""


Resumes = TypeVar("Resumes", bound=Resume)


def resumed(words: list[str], prog: str, kind: type[Resumes]) -> Resumes | None:
    """What the words ask for, where it is to continue a training; `kind` has the flags."""
    asked = any(word.partition("=")[0] == "--resume" for word in words)
    return parse(kind, words, prog) if asked else None


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
