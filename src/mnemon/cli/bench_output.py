from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnemon.cli import say
from mnemon.config import Problem, write_json
from mnemon.report import Chart, check_extra, write_chart


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where the figures of a benchmark go: the flags that all benchmarks have."""

    record: Path | None = None
    """also write the figures to this file"""
    plot: Path | None = None
    """also draw them, to this file: FILE.svg"""
    json: bool = False
    """print one JSON value"""


def ready(command: Output) -> None:
    """Say now what would be in the way of the plot, before anything is measured."""
    if command.plot is None:
        return
    if command.plot.suffix != ".svg":
        raise Problem(f"--plot {command.plot}: plots are SVG, so give a name that ends in .svg")
    check_extra()


def give(
    command: Output, found: dict[str, Any], words: str, text: Callable[[], str], chart: Callable[[], Chart]
) -> None:
    """Write and print `found`, as the flags ask: as JSON, or as the `text` and the `chart` made of it for people."""
    if command.record is not None:
        write_json(command.record, {**found, "command": words})
    if command.plot is not None:
        write_chart(chart(), command.plot)
    say.result(found, command.json, text)
