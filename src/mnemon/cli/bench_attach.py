import importlib
from dataclasses import dataclass
from typing import Any, Literal

from mnemon.cli import say
from mnemon.cli.bench_output import Output, give
from mnemon.cli.progress import Phases
from mnemon.studies.bench.attach_page import attach_rows, host_line
from mnemon.studies.bench.charts import attach_chart


@dataclass(frozen=True, kw_only=True)
class Attach(Output):
    """What an attached memory costs a foreign model: prefill, decode, reading; beside a cache of as many tokens."""

    size: int = 65_536
    """entries of the memory, and tokens of the full cache"""
    prompt: int = 512
    """tokens of the prompt"""
    steps: int = 12
    """tokens decoded in a round"""
    rounds: int = 5
    """rounds in which the hosts take turns"""
    top_k: int = 32
    """neighbours a query"""
    dim: int = 1024
    """of the host"""
    layers: int = 12
    """of the host"""
    heads: int = 16
    """query heads of the host"""
    groups: int = 4
    """key/value heads of the host"""
    inner: int = 2816
    """width of the host's feed-forward layers"""
    vocabulary: int = 32_000
    """of the host"""
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """of the host"""


def run(command: Attach, words: str) -> None:
    # Needs transformers, which the other benchmarks do without.
    study = importlib.import_module("mnemon.studies.bench.attach")
    shape = study.Shape(
        command.dim, command.layers, command.heads, command.groups, command.inner, command.vocabulary, command.dtype
    )
    plan = study.Plan(shape, command.size, command.prompt, command.steps, command.rounds, command.top_k)
    with Phases() as show:
        found = study.bench_attach(plan, show)
    give(command, found, words, lambda: _text(found), lambda: attach_chart(found))


def _text(found: dict[str, Any]) -> str:
    head = ("", "", "tokens/s", "ms, median", "lowest", "highest")
    ratios = [
        (name, *(f"{ratio[which]:.2f}" for which in ("median", "low", "high")))
        for name, ratio in found["ratios"].items()
    ]
    return "\n".join(
        [host_line(found), say.table([head, *attach_rows(found)], left=2), "", "times as long", say.table(ratios)]
    )
