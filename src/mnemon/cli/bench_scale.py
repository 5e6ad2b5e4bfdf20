from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mnemon.cli import say
from mnemon.cli.bench_output import Output, give
from mnemon.cli.progress import Phases
from mnemon.config import Problem
from mnemon.studies.bench.scale import SIZES, TIERS, Plan, bench_scale
from mnemon.studies.bench.scale_model import Machines
from mnemon.studies.bench.scale_page import (
    FITTED,
    MEASURED,
    TOLD,
    fitted_rows,
    measured_rows,
    missing_lines,
    pair_lines,
    scale_chart,
    scale_line,
    told_rows,
)
from mnemon.studies.bench.standing import whole_numbers


@dataclass(frozen=True, kw_only=True)
class Scale(Output):
    """Time and bytes a remembered token in each tier, what they grow by, and what more tokens than these need."""

    tiers: str = " ".join(TIERS)
    """stores with spaces between, each as in --model.pools.knn.index"""
    sizes: str = ",".join(map(str, SIZES))
    """entries that are measured, with commas between; what is slow to write gets as many, each smaller"""
    tokens: str = "1e8,1e10"
    """remembered tokens that are planned for, with commas between"""
    heads: int = Plan.heads
    """heads that each have all entries"""
    dim: int = Plan.dim
    """size of a head"""
    top_k: int = Plan.top_k
    """neighbours a query"""
    asked: int = Plan.tokens
    """tokens that are asked one by one at each size"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """of keys and values as a model would make them"""
    layers: int = Machines.layers
    """layers with a memory, which search one after the other"""
    ram: float = Machines.ram_gib
    """GiB of memory of a machine"""
    share: float = Machines.share
    """share of it that entries may take"""
    round_trip: float = Machines.round_trip_ms
    """milliseconds to a machine and back"""
    gigabits: float = Machines.gigabits
    """Gbit a second that reach the machine that asks"""
    within: float = Machines.within_ms
    """milliseconds a token for which machines are counted"""
    pair: int = Plan.pair
    """entries that two processes hold between them, to check what is told of shards (0: no check)"""
    folder: Path | None = None
    """where the stores lie meanwhile (default: the system's folder for temporary files)"""


def run(command: Scale, words: str) -> None:
    plan = Plan(
        command.tiers.split(),
        whole_numbers(command.sizes, "--sizes", "16384,65536,262144"),
        _totals(command.tokens),
        command.heads,
        command.dim,
        command.top_k,
        command.asked,
        command.dtype,
        Machines(command.ram, command.share, command.round_trip, command.gigabits, command.layers, command.within),
        command.pair,
        command.folder,
    )
    with Phases() as show:
        found = bench_scale(plan, show)
    give(command, found, words, lambda: _text(found), lambda: scale_chart(found))


def _totals(said: str) -> Sequence[float]:
    try:
        return [float(part) for part in said.split(",")]
    except ValueError:
        raise Problem(f"--tokens {said}: give numbers with commas between, such as 1e8,1e10") from None


def _text(found: dict[str, Any]) -> str:
    tables = [
        "\n" + say.table([head, *rows(found)])
        for head, rows in ((MEASURED, measured_rows), (FITTED, fitted_rows), (TOLD, told_rows))
    ]
    return "\n".join([scale_line(found), *tables, *pair_lines(found), *missing_lines(found)])
