from dataclasses import dataclass
from typing import Any

from mnemon.cli import say
from mnemon.cli.bench_output import Output, give
from mnemon.cli.progress import Phases
from mnemon.config import Problem
from mnemon.index import INDEXES
from mnemon.studies import bench_recall
from mnemon.studies.bench.charts import recall_chart


@dataclass(frozen=True, kw_only=True)
class Recall(Output):
    """What each index finds of the true neighbours among random unit vectors, and how long it takes."""

    index: str = " ".join(INDEXES)
    """indexes with spaces between, each as in --model.pools.knn.index"""
    size: str = "8192,65536"
    """entries of the memory, with commas between"""
    top_k: int = 32
    """neighbours a query"""
    queries: int = 128
    """queries of one search"""
    dim: int = 64
    """size of a head"""
    seed: int = 0
    """of the vectors"""


def run(command: Recall, words: str) -> None:
    try:
        sizes = [int(part) for part in command.size.split(",")]
    except ValueError:
        raise Problem(f"--size {command.size}: give whole numbers with commas between, such as 8192,65536") from None
    with Phases() as show:
        found = bench_recall(
            command.index.split(), sizes, command.top_k, command.queries, command.dim, command.seed, show
        )
    give(command, found, words, lambda: _text(found), lambda: recall_chart(found))


def _text(found: dict[str, Any]) -> str:
    sizes = [str(size) for size in found["sizes"]]
    head = ["index", *(f"{what} {int(size):,}" for size in sizes for what in ("recall", "ms"))]
    rows = [[name, *(cell for size in sizes for cell in _cells(of[size]))] for name, of in found["indexes"].items()]
    told = {of["missing"] for each in found["indexes"].values() for of in each.values() if "missing" in of}
    about = f"{found['top_k']} of so many random unit vectors of size {found['dim']}, {found['queries']} queries"
    return "\n".join([about, say.table([head, *rows]), *(f"missing: {what}" for what in sorted(told))])


def _cells(result: dict[str, Any]) -> tuple[str, str]:
    if "missing" in result:
        return "missing", ""
    return f"{result['recall']:.3f}", f"{result['milliseconds']:,.1f}"
