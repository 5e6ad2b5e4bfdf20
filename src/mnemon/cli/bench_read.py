from dataclasses import dataclass
from typing import Any, Literal

from mnemon.cli import say
from mnemon.cli.bench_output import Output, give
from mnemon.cli.progress import Phases
from mnemon.studies.bench.read import Plan, bench_read, read_chart
from mnemon.studies.bench.standing import whole_numbers


@dataclass(frozen=True, kw_only=True)
class Read(Output):
    """Tokens a second of reading without gradients: only to remember, and with the memory, beside none."""

    recipe: str = Plan.recipe
    """whose model is measured, with its start values"""
    sizes: str = "8192,65536,262144"
    """entries of the memory, with commas between"""
    index: str = Plan.index
    """as in --model.pools.knn.index"""
    segments: int = Plan.segments
    """segments read in a round"""
    rounds: int = Plan.rounds
    """rounds in which the contenders take turns"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """of the model and the memory"""


def run(command: Read, words: str) -> None:
    sizes = whole_numbers(command.sizes, "--sizes", "8192,65536")
    plan = Plan(command.recipe, sizes, command.index, command.segments, command.rounds, command.dtype)
    with Phases() as show:
        found = bench_read(plan, show)
    give(command, found, words, lambda: _text(found), lambda: read_chart(found))


def _text(found: dict[str, Any]) -> str:
    rows = [
        (
            f"{of['size']:,}",
            name,
            *(f"{speed[which]:,.0f}" for which in ("median", "low", "high")),
            f"{of['ratios'][name]['median']:.2f}" if name in of["ratios"] else "",
        )
        for of in found["rows"]
        for name, speed in of["tokens_per_second"].items()
    ]
    about = f"{found['recipe']}, {found['layers']} layers, {found['dtype']}: tokens/s without gradients, one thread"
    return "\n".join([about, say.table([("entries", "", "median", "lowest", "highest", "to none"), *rows], left=2)])
