from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mnemon.cli import say
from mnemon.cli.flags import first_word, parse
from mnemon.cli.progress import Phases
from mnemon.config import Problem
from mnemon.studies import GRIDS, TABLES, Asked, corpora_of, reproduce


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Run one table of results and write its record and its page. `mnemon reproduce --list` names the tables."""

    budget: int = 15
    """minutes after which no further row is begun; a later call goes on (demo: picks the number of steps)"""
    seeds: int = 1
    """how many, for the rows that carry a claim"""
    data: tuple[str, ...] = ("python-env",)
    """corpora, as NAME=SOURCE or as a source that --data of train takes"""
    scale: Literal["auto", "tiny", "paper"] = "auto"
    """sizes that two cores train, or the paper's (auto: the paper's on a GPU)"""
    steps: int | None = None
    """optimiser steps of every row (default: the table's)"""
    workers: int | None = None
    """runs at once (default: one a core)"""
    milvus: str = Asked.milvus
    """server that `stores` and `scale` ask; where none answers, their pages say so"""
    out: Path | None = None
    """folder of the runs (default: runs/cells, runs/TABLE for the other tables); nothing in it is trained again"""
    docs: Path = Path("docs/results")
    """folder of pages; records go to `records` in it"""
    json: bool = False
    """print one JSON value at the end"""


def run(words: list[str]) -> None:
    if "--list" in words:
        listed = {name: grid.asks for name, grid in GRIDS.items()} | {name: one.asks for name, one in TABLES.items()}
        say.result(listed, "--json" in words, lambda: say.table(listed.items(), left=2))
        return
    name, rest = first_word(words, Reproduce, "mnemon reproduce TABLE")
    command = parse(Reproduce, rest, f"mnemon reproduce {name}")
    shared = name in GRIDS or (name in TABLES and TABLES[name].cells)
    out = command.out or Path("runs") / ("cells" if shared else name)
    if command.seeds < 1 or command.budget < 0:
        raise Problem(f"--seeds {command.seeds} --budget {command.budget}: at least 1 seed and 0 minutes")
    asked = Asked(
        command.budget,
        command.seeds,
        corpora_of(command.data),
        command.scale,
        command.steps,
        command.workers,
        command.milvus,
    )
    with Phases() as show:
        page = reproduce(name, out, command.docs, asked, show)
    value = {"page": str(page), "record": str(command.docs / "records" / f"{name}.json"), "runs": str(out)}
    say.result(value, command.json, lambda: f"page: {value['page']}\nrecord: {value['record']}")
