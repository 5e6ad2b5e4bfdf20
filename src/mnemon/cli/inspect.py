from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tyro.conf import Positional

from mnemon.cli import say
from mnemon.cli.flags import parse
from mnemon.cli.progress import Phases
from mnemon.config import Problem
from mnemon.evaluate import Inspection
from mnemon.studies import check_run, inspect_run, retrieval_lines
from mnemon.train import Run, load_run
from mnemon.train.run import pick_device

PROG = "mnemon inspect"


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """What a run remembers of a text: for every token its loss with and without memory, and what was retrieved."""

    run: Positional[Path]
    """run folder"""
    file: Positional[Path | None] = None
    """text to read"""
    document: str | None = None
    """or a document of the run's test split, by name"""
    other: Path | None = None
    """text that fills the memory of the control (default: another test document)"""
    memory: int | None = None
    """entries of the memory (default: as the model was trained)"""
    max_tokens: int = 12_288
    """read at most so many tokens"""
    out: Path = Path("inspection")
    """folder for inspection.html and inspection.json; none is overwritten"""
    check: bool = False
    """count instead, over test documents, how often a name that returns is looked up where it stood before"""
    documents: int = 24
    """of how many test documents, the longest"""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """where to compute"""
    json: bool = False
    """print one JSON value"""


def run(words: list[str]) -> None:
    command = parse(Inspect, words, PROG)
    trained = load_run(command.run, str(pick_device(command.device)))
    if command.check:
        _check(command, trained)
        return
    with Phases() as show:
        done = inspect_run(
            trained,
            command.out,
            command.file,
            command.document,
            command.other,
            command.memory,
            command.max_tokens,
            show,
        )
    values = done.found.as_json()
    kept = ("document", "other", "memory", "nats_per_token", "gains", "heads")
    value = {
        "page": str(done.page),
        "data": str(done.page.with_suffix(".json")),
        "tokens": int(np.isfinite(done.found.nats["none"]).sum()),
        **{name: values[name] for name in kept},
    }
    say.result(value, command.json, lambda: _text(value, done.found))


def _check(command: Inspect, trained: Run) -> None:
    if command.file is not None or command.document is not None:
        raise Problem("--check reads test documents of the run's corpus: leave out FILE and --document")
    with Phases() as show:
        record = check_run(trained, command.documents, command.memory, command.max_tokens, show)
    say.result(record, command.json, lambda: "\n".join(retrieval_lines(record)))


def _text(value: dict[str, Any], found: Inspection) -> str:
    readings = [(name, f"{nats:.4f}") for name, nats in value["nats_per_token"].items()]
    lines = [say.table([("memory", "nats/token"), *readings])]
    if value["gains"]:
        rows = [
            (row["label"], f"{row['tokens']:,}", *(f"{gain:+.4f}" for gain in row["gain"].values()))
            for table in ("all", "by_kind")
            for row in value["gains"][table]
        ]
        against = list(value["gains"]["all"][0]["gain"])
        lines += ["", f"gain in nats/token from token {found.segment:,} on, over each other reading"]
        lines += [say.table([("", "tokens", *against), *rows])]
    return "\n".join([*lines, "", f"page: {value['page']}", f"data: {value['data']}"])
