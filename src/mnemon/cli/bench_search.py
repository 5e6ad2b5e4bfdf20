from dataclasses import dataclass
from typing import Any

from mnemon.cli import say
from mnemon.cli.bench_output import Output, give
from mnemon.cli.progress import Phases
from mnemon.config import Problem
from mnemon.studies.bench.search import Plan, bench_search
from mnemon.studies.bench.search_page import MANY, ONE, many_rows, missing_lines, one_rows, search_chart
from mnemon.studies.bench.standing import whole_numbers


@dataclass(frozen=True, kw_only=True)
class Search(Output):
    """Exact search beside the bare product, the floor and faiss; one query by size, beside approximate indexes."""

    shapes: str = "1x4096x65536,8x512x65536,16x512x8192"
    """heads x queries x entries, with commas between"""
    sizes: str = "8192,65536,262144"
    """entries that one query at a time is searched in, with commas between"""
    keys: str = "random,alike"
    """what vectors are: random, or alike in crowds, or both"""
    top_k: int = Plan.top_k
    """neighbours a query"""
    dim: int = Plan.dim
    """size of a head"""
    rounds: int = Plan.rounds
    """rounds in which the contenders take turns"""


def run(command: Search, words: str) -> None:
    shapes = [_shape(part, command.shapes) for part in command.shapes.split(",")]
    sizes = whole_numbers(command.sizes, "--sizes", "8192,65536")
    plan = Plan(shapes, sizes, command.keys.split(","), command.top_k, command.dim, command.rounds)
    with Phases() as show:
        found = bench_search(plan, show)
    give(command, found, words, lambda: _text(found), lambda: search_chart(found))


def _shape(part: str, said: str) -> tuple[int, int, int]:
    try:
        heads, queries, entries = map(int, part.split("x"))
    except ValueError:
        raise Problem(f"--shapes {said}: give heads x queries x entries, such as 1x4096x65536,8x512x8192") from None
    return heads, queries, entries


def _text(found: dict[str, Any]) -> str:
    about = f"the best {found['top_k']} of unit vectors of size {found['dim']}, one thread: milliseconds"
    tables = [say.table([MANY, *many_rows(found)], left=2), "", say.table([ONE, *one_rows(found)], left=3)]
    return "\n".join([about, *tables, *missing_lines(found)])
