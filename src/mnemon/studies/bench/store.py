import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mnemon.config import Problem
from mnemon.index import MappedKind, MilvusKind, find_store
from mnemon.studies.bench.store_alone import Job
from mnemon.studies.bench.store_vectors import vectors_of
from mnemon.studies.machine import machine
from mnemon.studies.workers import Progress

ORACLE = "exact"


@dataclass(frozen=True)
class Plan:
    """What is stored: `size` entries of `heads` heads, and how many single tokens are asked.

    `run`: a run folder of a model with a kNN memory, whose own keys, values and queries are taken; without one they
    are random unit vectors. `folder` is where files lie meanwhile.
    """

    stores: Sequence[str] = (ORACLE, "mmap", "slots:stored=bfloat16", "slots:stored=int8")
    size: int = 65_536
    heads: int = 4
    dim: int = 64
    top_k: int = 32
    tokens: int = 20
    dtype: str = "float32"
    run: Path | None = None
    folder: Path | None = None


def bench_stores(plan: Plan, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """What each store takes: to write an entry, to be opened, of memory, and a token; and what it finds of the best.

    Each is filled by one process and opened by another, on one thread each. `peak_mib` is what the second needed more
    than before it opened the store; recall is against the store `exact`, which is measured first.
    """
    if min(plan.size, plan.heads, plan.dim, plan.top_k, plan.tokens) < 1 or plan.size < plan.top_k:
        raise Problem("size, heads, dim, top_k and tokens must each be at least 1, and size at least top_k")
    names = list(dict.fromkeys((ORACLE, *plan.stores)))
    for name in names:
        _reach(name)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="mnemon-bench-", dir=plan.folder) as room:
        vectors = None
        if plan.run is not None:
            vectors = str(Path(room) / "vectors")
            heads, size, dim = vectors_of(plan.run, plan.size, vectors)
            plan = replace(plan, size=size, heads=heads, dim=dim)
        for done, name in enumerate(names):
            place = Path(room) / str(done)
            own = _own(name)
            job = Job(
                "fill", own, str(place), plan.size, plan.heads, plan.dim, plan.top_k, plan.tokens, plan.dtype, vectors
            )
            try:
                progress("storing", 2 * done, 2 * len(names), name)
                first = _alone(job)
                progress("asking", 2 * done + 1, 2 * len(names), name)
                found[name] = first | _alone(replace(job, step="ask"))
            finally:
                _remove(own, place, plan)
    best = found[ORACLE]["places"]
    for each in found.values():
        each["recall"] = _recall(each["places"], best)
    for each in found.values():
        del each["places"]
    about = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(plan).items()}
    about = {name: value for name, value in about.items() if name not in ("folder", "stores")}
    return {"format": 1, "benchmark": "store", **about, "stores": found, "environment": machine()}


def _alone(job: Job) -> dict[str, Any]:
    """What a process of its own finds."""
    words = [sys.executable, "-m", "mnemon.studies.bench.store_alone", json.dumps(asdict(job))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise Problem(f"store {job.store}: {said[-1]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _reach(name: str) -> None:
    """Say now what is missing or away; a local Milvus is only opened by the processes that measure, one at a time."""
    kind = find_store(name)
    kind.check()
    if isinstance(kind, MilvusKind) and not kind.local:
        kind.place()


def _own(name: str) -> str:
    """The store as it is said, but in a collection that nobody else has: it is removed afterwards."""
    kind = find_store(name)
    if not isinstance(kind, MilvusKind):
        return name
    return f"milvus:uri={kind.uri},index={kind.index},collection=bench_{secrets.token_hex(8)}"


def _remove(name: str, place: Path, plan: Plan) -> None:
    """Take away what was stored."""
    kind = find_store(name)
    if isinstance(kind, MilvusKind):
        kind.place().connection.ask(lambda client: client.drop_collection(f"{kind.collection}_{plan.dim}"))
    elif isinstance(kind, MappedKind):
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def _recall(found: Any, best: Any) -> float:
    """The share of the best that was found, over tokens and heads."""
    ours, theirs = (torch.tensor(each) for each in (found, best))
    return float((ours[..., :, None] == theirs[..., None, :]).any(-2).float().mean())
