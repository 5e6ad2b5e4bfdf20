from dataclasses import dataclass
from typing import Any, Literal

from mnemon.cli import say
from mnemon.cli.bench_output import Output, give
from mnemon.cli.progress import Phases
from mnemon.studies.bench.decode import APPROXIMATE, FULL, NONE, Plan, bench_decode, decode_chart
from mnemon.studies.bench.standing import whole_numbers


@dataclass(frozen=True, kw_only=True)
class Decode(Output):
    """What a token costs that is written with a full memory, beside none and beside attention over a long cache."""

    recipe: str = Plan.recipe
    """whose model is measured, with its start values"""
    sizes: str = "8192,65536,262144"
    """entries of the memory, and tokens of the cache beside it, with commas between"""
    index: str = f"exact {APPROXIMATE}"
    """indexes with spaces between, each as in --model.pools.knn.index"""
    steps: int = Plan.steps
    """tokens written in a round"""
    rounds: int = Plan.rounds
    """rounds in which the contenders take turns"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """of the model, the memory and the cache"""


def run(command: Decode, words: str) -> None:
    sizes = whole_numbers(command.sizes, "--sizes", "8192,65536")
    plan = Plan(command.recipe, sizes, command.index.split(), command.steps, command.rounds, command.dtype)
    with Phases() as show:
        found = bench_decode(plan, show)
    give(command, found, words, lambda: _text(found), lambda: decode_chart(found))


def _text(found: dict[str, Any]) -> str:
    rows = [
        (
            f"{of['size']:,}",
            name,
            *(f"{1000 * of['seconds'][name][which]:,.1f}" for which in ("median", "low", "high")),
            f"{of['ratios'][name]['median']:.1f}" if name in of["ratios"] else "",
            f"{of['recall'][name]:.3f}" if name in of["recall"] else "",
        )
        for of in found["rows"]
        for name in (NONE, *found["indexes"], FULL)
    ]
    about = f"{found['recipe']}, {found['layers']} layers, {found['dtype']}: milliseconds a token, one thread"
    head = ("remembered", "memory", "median", "lowest", "highest", "full attention to it", "recall")
    return "\n".join([about, say.table([head, *rows], left=2)])
