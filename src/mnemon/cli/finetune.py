from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mnemon.cli import say
from mnemon.cli.flags import changed, first_word, parse, value_of, with_sections
from mnemon.cli.trained import Job, Resume, of_all_ranks, resumed, shown, steps_of
from mnemon.config import Problem, nearest, read_json
from mnemon.train.finetune import CONFIG, RATES, finetune, read_finetune, resume_finetune, tuning
from mnemon.train.ranks import speaks

PROG = "mnemon finetune"


@dataclass(frozen=True, kw_only=True)
class Start:
    """Let a model of others learn to use its memory, on documents. With its name before --help: also settings."""

    out: Path
    """folder to make: the tuned model, its memory's settings, and what continues an interrupted training"""
    learns: Literal["gates", "queries", "lora", "all"] = "queries"
    """gates alone; also query projections of layers with memory; also low-rank adapters; everything"""
    data: str | None = None
    """python-env, NAME:PATH of a known data set, or a folder, glob, JSON Lines file or byte stream"""
    negatives: int = 0
    """other rows whose entries each row finds among its own, and learns to pass over"""
    persistent: int = 0
    """persistent vectors in each layer with a memory, which learn too"""
    equal_start: float | None = None
    """let queries of layers with a memory start as their keys, so many times as sharp (learns queries or all)"""
    no_memory: bool = False
    """learn without the memory, as a control"""
    checkpointing: bool = False
    """compute activations again in backward, for less memory and more time"""
    download: bool = False
    """fetch the model from the hub if it is not here"""
    json: bool = False
    """print one JSON value at the end"""


def run(words: list[str]) -> None:
    of_all_ranks(partial(_job, words))()


def _job(words: list[str]) -> Job:
    further = resumed(words, PROG)
    if further is not None:
        return _resume(further)
    host, rest = first_word(words, Start, f"{PROG} MODEL")
    learns = value_of(rest, "--learns") or "queries"
    if learns not in RATES:
        raise Problem(f"--learns {learns!r}: no such kind{nearest(learns, list(RATES))}")
    config = tuning(host, learns)
    command = parse(with_sections(Start, config), rest, f"{PROG} {host}")
    config = changed(config, command, PROG)
    if command.data is not None:
        config = config.replace(data__source=command.data)
    config = config.replace(
        negatives=command.negatives,
        persistent=command.persistent,
        equal_start=command.equal_start,
        remember=not command.no_memory,
        checkpointing=command.checkpointing,
        download=command.download,
    )
    job = partial(finetune, config, command.out)
    return partial(_show, job, config.train.steps, command.out, command.json)


def _resume(command: Resume) -> Job:
    out, further = command.resume, command.train_section
    job = partial(resume_finetune, out, steps=further.steps, parallel=further.parallel)
    total = steps_of(lambda: read_finetune(out)[0], further.steps)
    return partial(_show, job, total, out, command.json)


def _show(job: Callable[..., Any], total: int, out: Path, as_json: bool) -> None:
    """Run the job under a progress bar and print where it stands at its end."""
    last = shown(job, total, out, CONFIG, PROG)
    if not speaks():
        return
    config, skipped = read_finetune(out)[0], read_json(out / "corpus.json")["skipped"]
    value = {"folder": str(out), "learns": config.learns, **last, "skipped": skipped}
    ended = f", loss {last['loss']:.4f}" if last else ", nothing left to do"
    say.result(
        value,
        as_json,
        lambda: f"{out}: {config.learns} of {config.host}, {total} steps{ended}{say.skipped(skipped)}",
    )
