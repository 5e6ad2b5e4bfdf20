from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mnemon.cli import say
from mnemon.cli.bench_output import Output, give
from mnemon.cli.progress import Phases
from mnemon.studies.bench.attention import Plan, attention_chart, bench_attention
from mnemon.studies.bench.attention_page import COLUMNS, about, shares


@dataclass(frozen=True, kw_only=True)
class Attention(Output):
    """Attention over a window and persistent vectors: blocks, plain products, a layer, a step, x-transformers."""

    dim: int = Plan.dim
    """width of the model"""
    heads: int = Plan.heads
    """heads of a layer"""
    vectors: int = Plan.vectors
    """persistent vectors a head, and the inner size of the feed-forward layer beside them"""
    layers: int = Plan.layers
    """layers of a training step"""
    segment: int = Plan.segment
    """tokens of a segment"""
    window: int = Plan.window
    """tokens of the window"""
    lanes: int = Plan.lanes
    """rows of a batch"""
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    """of the products"""
    rounds: int = Plan.rounds
    """rounds in which the contenders take turns"""
    peer_python: Path = Path(".venv-peers/bin/python")
    """interpreter of the peer's environment, which make bench-peers makes"""


def run(command: Attention, words: str) -> None:
    plan = Plan(
        command.dim,
        command.heads,
        command.vectors,
        command.layers,
        command.segment,
        command.window,
        command.lanes,
        command.precision,
        command.rounds,
        command.peer_python,
    )
    with Phases() as show:
        found = bench_attention(plan, show)
    give(command, found, words, lambda: _text(found), lambda: attention_chart(found))


def _text(found: dict[str, Any]) -> str:
    took = [
        (what, name, *(f"{1000 * each[key]:.1f}" for key in COLUMNS))
        for what, of in found["seconds"].items()
        for name, each in of.items()
    ]
    slower = [
        (what, pair, *(f"{each[key]:.2f}" for key in COLUMNS))
        for what, of in found["ratios"].items()
        for pair, each in of.items()
    ]
    return "\n".join(
        [
            about(found),
            say.table([("milliseconds of processor time", "", *COLUMNS), *took], left=2),
            "",
            say.table([("times as long", "", *COLUMNS), *slower], left=2),
            "",
            *shares(found),
        ]
    )
