from dataclasses import dataclass
from typing import Any

from mnemon.cli import say
from mnemon.cli.bench_output import Output, give
from mnemon.cli.progress import Phases
from mnemon.studies.bench.cost import LARGEST, bench_cost, cost_chart, grid


@dataclass(frozen=True, kw_only=True)
class Cost(Output):
    """Whether time, operations and bytes of a step grow with its sizes as docs/cost.md tells."""

    largest: int = LARGEST
    """entries of the largest memory that is measured"""
    steps: int = 8
    """tokens written in a round"""
    rounds: int = 5
    """rounds in which the sizes take turns"""


def run(command: Cost, words: str) -> None:
    with Phases() as show:
        found = bench_cost(grid(command.largest), steps=command.steps, rounds=command.rounds, progress=show)
    give(command, found, words, lambda: _text(found), lambda: cost_chart(found))


def _text(found: dict[str, Any]) -> str:
    names = list(found["rows"][0]["size"])
    rows = [
        (
            *(f"{of['size'][name]:,}" for name in names),
            f"{1000 * of['seconds']['median']:.2f}",
            f"{1000 * of['predicted']:.2f}",
            "yes" if of["as_told"] else "no",
        )
        for of in found["rows"]
    ]
    coefficients = [(f"{1e6 * value:,.2f} µs", name) for name, value in found["coefficients"].items()]
    off = found["largest_deviation"]
    checked = "" if off["checks"] is None else f", of sizes not fitted to {off['checks']:.0%}"
    return "\n".join(
        [
            f"{found['recipe']}, one token a step, milliseconds on one thread",
            say.table([(*names, "measured", "told", "counts as told"), *rows], left=0),
            "",
            say.table(coefficients, left=0),
            f"largest deviation {off['fitted']:.0%}{checked}",
        ]
    )
