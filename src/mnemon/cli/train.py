from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mnemon.cli import say
from mnemon.cli.flags import changed, first_word, of_kinds, parse, with_sections
from mnemon.cli.trained import Job, Resume, of_all_ranks, resumed, shown, steps_of
from mnemon.config import read_json
from mnemon.recipes import recipe
from mnemon.train import read_config, resume, train
from mnemon.train.ranks import speaks

PROG = "mnemon train"


@dataclass(frozen=True, kw_only=True)
class Start:
    """Train a recipe. With its name before --help: also its settings, one flag each."""

    out: Path
    """run folder to make"""
    data: str | None = None
    """python-env, NAME:PATH of a known data set, or a folder, glob, JSON Lines file or byte stream"""
    download: bool = False
    """fetch the data set, named without a path"""
    partial: bool = False
    """take an incomplete copy of a known data set"""
    strict: bool = False
    """a file that is no UTF-8 text is an error, not skipped"""
    start_from: Path | None = None
    """run whose weights and tokenizer to begin with"""
    json: bool = False
    """print one JSON value at the end"""


def run(words: list[str]) -> None:
    of_all_ranks(partial(_job, words))()


def _job(words: list[str]) -> Job:
    further = resumed(words, PROG)
    if further is not None:
        return _resume(further)
    name, rest = first_word(words, Start, f"{PROG} RECIPE")
    config = of_kinds(recipe(name), rest)
    command = parse(with_sections(Start, config), rest, f"{PROG} {name}")
    config = changed(config, command, name)
    if command.data is not None:
        config = config.replace(data__source=command.data)
    wanted = {name: True for name in ("strict", "download", "partial") if getattr(command, name)}
    config = config.replace(data=config.data.replace(**wanted))
    job = partial(train, config, command.out, start_from=command.start_from)
    return partial(_show, job, config.train.steps, command.out, command.json)


def _resume(command: Resume) -> Job:
    out, further = command.resume, command.train_section
    job = partial(resume, out, steps=further.steps, parallel=further.parallel)
    total = steps_of(partial(read_config, out), further.steps)
    return partial(_show, job, total, out, command.json)


def _show(job: Callable[..., Any], total: int, out: Path, as_json: bool) -> None:
    """Run the job under a progress bar and print where the run stands at its end."""
    last = shown(job, total, out, "config.json", PROG)
    if not speaks():
        return
    left_out = read_json(out / "corpus.json")["skipped"]
    value = {"run": str(out), **last, "skipped": left_out}
    say.result(value, as_json, lambda: f"{out}: {total} steps{_ended(last)}{say.skipped(left_out)}")


def _ended(record: dict[str, float]) -> str:
    if not record:
        return ", nothing left to do"
    return f", loss {record['loss']:.4f}, {record['tokens']:,} tokens in {record['seconds']:,.0f} s"
