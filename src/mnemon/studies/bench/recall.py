from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mnemon.config import Problem
from mnemon.index import INDEXES, exact_search, find_index
from mnemon.studies.machine import machine
from mnemon.studies.pages import Record, row
from mnemon.studies.workers import Progress

RELEASED = "bucketed:buckets=32"  # every bucket's winner, as the released code of arXiv 2203.08913 searches


def bench_recall(
    indexes: Sequence[str] = tuple(INDEXES),
    sizes: Sequence[int] = (8192, 65_536),
    top_k: int = 32,
    queries: int = 128,
    dim: int = 64,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """How many of the true neighbours each index finds among random unit vectors, and how long a search takes.

    Random vectors are the hard case: no two are much alike, so clusters say little. `milliseconds` are those of one
    search by one head for all queries, on the threads that are set, with what an engine builds for it.
    """
    if min([top_k, queries, dim, *sizes], default=0) < 1 or not sizes:
        raise Problem("sizes, top_k, queries and dim must each be at least 1")
    searches = {name: find_index(name) for name in indexes}
    found: dict[str, dict[str, Any]] = {name: {} for name in indexes}
    for done, size in enumerate(sizes):
        q, keys = _vectors(queries, size, dim, seed)
        best = exact_search(q, keys, top_k)[1]
        for at, (name, search) in enumerate(searches.items()):
            progress("searching", done * len(searches) + at, len(sizes) * len(searches), f"{name}, {size:,} entries")
            try:
                search(q[:, :0], keys[:, :0], top_k)  # whatever is imported or missing shows here
                begun = perf_counter()
                ids = search(q, keys, top_k)[1]
            except Problem as problem:
                found[name][str(size)] = {"missing": str(problem)}
                continue
            took = perf_counter() - begun
            found[name][str(size)] = {"recall": recall(ids, best), "milliseconds": 1000 * took}
    about = {"top_k": top_k, "queries": queries, "dim": dim, "seed": seed, "sizes": list(sizes)}
    return {"format": 1, "benchmark": "recall", **about, "indexes": found, "environment": machine()}


def recall(found: Tensor, best: Tensor) -> float:
    """The share of the ids in `best` that are in `found`, query by query."""
    return (found[..., :, None] == best[..., None, :]).any(-2).float().mean().item()


def _vectors(queries: int, size: int, dim: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    q, keys = (functional.normalize(torch.randn(1, n, dim, generator=draw), dim=-1) for n in (queries, size))
    return q, keys


def recall_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    """`bench_recall` as a table of `reproduce`: nothing is trained, so folder, time and seeds make no difference."""
    return bench_recall((*INDEXES, RELEASED), progress=progress)


def recall_lines(record: Record) -> list[str]:
    """Recall and time of each index by entries; what is not installed is said."""
    sizes = [str(size) for size in record["sizes"]]
    heads = [head for size in sizes for head in (f"recall, {int(size):,} entries", "ms a search")]
    lines = [row(["index", *heads]), row(["---"] * (1 + len(heads)))]
    for name, by_size in record["indexes"].items():
        cells = [by_size[size].get("missing") for size in sizes]
        shown = [
            cell
            for size, missing in zip(sizes, cells, strict=True)
            for cell in (
                (missing, "")
                if missing
                else (f"{by_size[size]['recall']:.3f}", f"{by_size[size]['milliseconds']:,.1f}")
            )
        ]
        lines.append(row([name, *shown]))
    about = f"{record['queries']} queries of one head for {record['top_k']} neighbours, dim {record['dim']}"
    lines += ["", "How it was made:", "", f"- {about}, random unit vectors, seed {record['seed']}."]
    return [
        *lines,
        "- The time of an engine holds that of building its index; arXiv 2203.08913 states about 90 % for its own.",
    ]
