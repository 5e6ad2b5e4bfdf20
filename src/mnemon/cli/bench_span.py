from dataclasses import dataclass
from typing import Any

from mnemon.cli import say
from mnemon.cli.bench_output import Output, give
from mnemon.cli.progress import Phases
from mnemon.config import Problem
from mnemon.studies import bench_span
from mnemon.studies.bench.charts import span_chart
from mnemon.studies.bench.span import SPANS


@dataclass(frozen=True, kw_only=True)
class Span(Output):
    """What a training step costs against the attention span: FLOPs, bytes of the cache, time."""

    recipe: str = "all-attention"
    """whose layers are measured"""
    spans: str = ",".join(map(str, SPANS))
    """spans of all heads, with commas between; the last but one is also measured for a single head"""
    layers: int = 1
    """layers of the model"""
    lanes: int = 1
    """rows read side by side"""
    rounds: int = 5
    """steps of each model, which take turns"""


def run(command: Span, words: str) -> None:
    try:
        spans = [int(part) for part in command.spans.split(",")]
    except ValueError:
        raise Problem(f"--spans {command.spans}: give whole numbers with commas between, such as 0,256,1024") from None
    with Phases() as show:
        found = bench_span(command.recipe, spans, command.layers, command.lanes, command.rounds, show)
    give(command, found, words, lambda: _text(found), lambda: span_chart(found))


def _text(found: dict[str, Any]) -> str:
    rows = [
        (
            f"{of['span']:,}",
            of["heads"],
            f"{of['kept']:,}",
            f"{of['flops'] / found['tokens'] / 1e6:,.2f}",
            f"{of['cache_bytes'] / found['lanes'] / 1024:,.0f}",
            f"{1000 * of['seconds']['low']:,.0f}",
        )
        for of in found["rows"]
    ]
    about = f"{found['recipe']}, {found['layers']} layers, {found['lanes']} lanes, steps of {found['tokens']:,} tokens"
    head = ("span", "heads", "tokens kept", "MFLOPs a token", "cache, KiB a lane", "ms a step")
    return "\n".join([about, say.table([head, *rows], left=2)])
