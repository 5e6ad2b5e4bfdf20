from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mnemon.cli import say
from mnemon.cli.bench_output import Output, give
from mnemon.cli.progress import Phases
from mnemon.studies.bench.charts import store_chart
from mnemon.studies.bench.store import Plan, bench_stores
from mnemon.studies.bench.store_page import HEAD, store_line, store_rows


@dataclass(frozen=True, kw_only=True)
class Store(Output):
    """What each store of a kNN memory takes to write, to open, of memory and a token, and what it finds of the best."""

    stores: str = " ".join(Plan.stores)
    """stores with spaces between, each as in --model.pools.knn.index"""
    size: int = Plan.size
    """entries"""
    heads: int = Plan.heads
    """heads that each have all entries"""
    dim: int = Plan.dim
    """size of a head"""
    top_k: int = Plan.top_k
    """neighbours a query"""
    tokens: int = Plan.tokens
    """tokens that are asked one by one"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """of keys and values as a model would make them"""
    run: Path | None = None
    """a run whose model's own keys and queries are taken (default: random unit vectors)"""
    folder: Path | None = None
    """where the stores lie meanwhile (default: the system's folder for temporary files)"""


def run(command: Store, words: str) -> None:
    plan = Plan(
        command.stores.split(),
        command.size,
        command.heads,
        command.dim,
        command.top_k,
        command.tokens,
        command.dtype,
        command.run,
        command.folder,
    )
    with Phases() as show:
        found = bench_stores(plan, show)
    give(command, found, words, lambda: _text(found), lambda: store_chart(found))


def _text(found: dict[str, Any]) -> str:
    return "\n".join([store_line(found), say.table([HEAD, *store_rows(found)])])
