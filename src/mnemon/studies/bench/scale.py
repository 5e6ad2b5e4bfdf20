import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from mnemon.config import Problem
from mnemon.index import MappedKind, MilvusKind, find_store
from mnemon.index.milvus_answers import text_length
from mnemon.studies.bench import store
from mnemon.studies.bench.scale_merge import merge_times
from mnemon.studies.bench.scale_model import FEWEST, Fit, Machines, Shape, deviations, fitted, forecast
from mnemon.studies.bench.scale_pair import SHARDS, check_pair
from mnemon.studies.bench.store_alone import SEGMENT, Job
from mnemon.studies.bench.turns import one_thread
from mnemon.studies.machine import machine
from mnemon.studies.workers import Progress

SIZES = (16_384, 65_536, 262_144, 1_048_576)
TIERS = ("exact", "host", "slots:stored=int8", "mmap", "faiss-ivf", "faiss-hnsw", "milvus:index=flat")
ENTITY = 24  # bytes of number, place and tenant of an entity of Milvus
SLOW = {"faiss-hnsw": 262_144, "milvus": 65_536}  # entries beyond which these take minutes to be written


@dataclass(frozen=True)
class Plan:
    """Which tiers are measured at which sizes, for `heads` heads, and what is told of it: totals and machines.

    A tier that is slow to write is measured at as many sizes, each so many times smaller. `pair`: entries that two
    processes hold between them, to hold the formula of shards to what they take (0: none); needs the tier `exact`.
    """

    tiers: Sequence[str] = TIERS
    sizes: Sequence[int] = SIZES
    totals: Sequence[float] = (1e8, 1e10)
    heads: int = 4
    dim: int = 64
    top_k: int = 32
    tokens: int = 20
    dtype: str = "float32"
    machines: Machines = field(default_factory=Machines)
    pair: int = 65_536
    folder: Path | None = None

    @property
    def shape(self) -> Shape:
        return Shape(self.heads, self.dim, self.top_k, getattr(torch, self.dtype).itemsize)


@one_thread()
def bench_scale(plan: Plan, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """Time and bytes a remembered token in each tier, what they grow by, and what more tokens would need.

    Measured by `bench_stores`: a process of its own fills a store and another opens it, on one thread.
    """
    _check(plan)
    missing = {tier: said for tier in plan.tiers if (said := _missing(tier)) is not None}
    there = [tier for tier in plan.tiers if tier not in missing]
    merged = merge_times(plan.shape)
    measured = _measured(plan, there, progress)
    merge = fitted("m", merged)
    tiers = {tier: _told(plan, tier, measured[tier], merge) for tier in there}
    about = {name: getattr(plan, name) for name in ("heads", "dim", "top_k", "tokens", "dtype")}
    return {
        "format": 1,
        "benchmark": "scale",
        **about,
        "machines": asdict(plan.machines),
        "merge": {"shards": merged, **asdict(merge), "off": deviations("m", merged)},
        "pair": _pair(plan, tiers, merge),
        "tiers": {**tiers, **{tier: {"missing": said} for tier, said in missing.items()}},
        "environment": machine(),
    }


def sizes_of(tier: str, sizes: Sequence[int]) -> list[int]:
    """The sizes at which a tier is measured."""
    most = SLOW.get(tier.partition(":")[0], max(sizes))
    return sorted({size * min(most, max(sizes)) // max(sizes) for size in sizes})


def _pair(plan: Plan, tiers: Mapping[str, dict[str, Any]], merge: Fit) -> dict[str, Any] | None:
    """What two processes take, beside what is told of them."""
    if not plan.pair or "exact" not in tiers:
        return None
    of = tiers["exact"]["time"]
    job = Job("", "exact", "", plan.pair, plan.heads, plan.dim, plan.top_k, plan.tokens, plan.dtype, None)
    return check_pair(job, Fit(of["form"], of["a"], of["b"]), merge)


def needed_bytes(tier: str, shape: Shape, measured: float) -> float:
    """Bytes of memory a token that a machine needs, so that its searches take as long as measured.

    What the process that searches had at most; beside it, what others hold for it and no process shows: the keys of a
    mapped file, which the system keeps, and the entries of a server, each with its number, its place and its tenant.
    """
    kind = find_store(tier)
    if isinstance(kind, MappedKind):
        return measured + shape.heads * shape.dim * shape.number
    if isinstance(kind, MilvusKind) and not kind.local:
        return measured + shape.heads * (4 * shape.dim + text_length(shape.dim) + ENTITY)
    return measured


def form_of(tier: str) -> str:
    """What the time of its search grows with: see `FORMS`."""
    kind = find_store(tier)
    graph = kind.index == "hnsw" if isinstance(kind, MilvusKind) else tier.partition(":")[0] == "faiss-hnsw"
    return "log2 m" if graph else "m"


def _check(plan: Plan) -> None:
    for tier in plan.tiers:
        find_store(tier)
        sizes = sizes_of(tier, plan.sizes)
        if len(sizes) < FEWEST or min(sizes) < plan.top_k:
            told = ",".join(map(str, sizes))
            raise Problem(f"sizes {told} of {tier}: at least {FEWEST}, each at least top_k, {plan.top_k}")
    least = SHARDS * max(SEGMENT, plan.top_k)
    if plan.pair and plan.pair < least:
        raise Problem(f"pair {plan.pair}: at least {least} entries for two, or 0 for no pair")
    of = plan.machines
    if not all(1 <= total < math.inf for total in (*plan.totals, of.layers)):
        raise Problem("totals and layers must be at least 1, and not without end")
    if min(of.ram_gib, of.share, of.gigabits, of.within_ms) <= 0 or of.share > 1 or of.round_trip_ms < 0:
        raise Problem("memory, network and time of machines must be above 0, and the share of memory at most 1")


def _missing(tier: str) -> str | None:
    """Why a tier cannot be measured here: an extra, or a server."""
    kind = find_store(tier)
    try:
        kind.check()
        if isinstance(kind, MilvusKind) and not kind.local:
            kind.place()
    except Problem as problem:
        return str(problem)
    return None


def _measured(plan: Plan, tiers: Sequence[str], progress: Progress) -> dict[str, dict[int, dict[str, Any]]]:
    """What is found of each tier at each of its sizes."""
    sizes = sorted({size for tier in tiers for size in sizes_of(tier, plan.sizes)})
    found: dict[str, dict[int, dict[str, Any]]] = {tier: {} for tier in tiers}
    for done, size in enumerate(sizes):
        progress("measuring", done, len(sizes), f"{size:,} entries")
        for tier, of in _at(size, plan, [tier for tier in tiers if size in sizes_of(tier, plan.sizes)]).items():
            found[tier][size] = of
    return found


def _at(size: int, plan: Plan, tiers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What `bench_stores` finds of tiers of one size, and the bytes of their files."""
    with tempfile.TemporaryDirectory(prefix="mnemon-scale-", dir=plan.folder) as room:
        names, files = {_placed(tier, room): tier for tier in tiers}, {}

        def weigh(phase: str, _done: int, _total: int, said: str) -> None:
            if phase == "asking":  # this store is filled, and what was there before it is removed
                files[said] = _weight(Path(room))

        about = {name: getattr(plan, name) for name in ("heads", "dim", "top_k", "tokens", "dtype")}
        of = store.bench_stores(store.Plan(list(names), size=size, **about, folder=Path(room)), weigh)["stores"]
        return {tier: {**of[said], "file_bytes": files[said]} for said, tier in names.items()}


def _placed(tier: str, room: str) -> str:
    """The tier with a local Milvus in a file of its own, which goes when it was measured."""
    kind = find_store(tier)
    if not isinstance(kind, MilvusKind) or not kind.local:
        return tier
    return f"milvus:uri={room}/memory-{kind.index}.db,index={kind.index}"


def _weight(room: Path) -> int:
    """Bytes that files take, without their holes."""
    return sum(path.stat().st_blocks * 512 for path in room.rglob("*") if path.is_file())


def _told(plan: Plan, tier: str, of: Mapping[int, dict[str, Any]], merge: Fit) -> dict[str, Any]:
    """What a tier was measured to take, the terms fitted to it, and what they say of more tokens."""
    form = form_of(tier)
    took = {size: each["ms_a_token"] for size, each in of.items()}
    peaks = {size: max(each["peak_mib"], 0.01) * 2**20 for size, each in of.items()}
    files = {size: float(max(each["file_bytes"], 1)) for size, each in of.items()}
    search, memory = fitted(form, took), fitted("m", peaks)
    needed = needed_bytes(tier, plan.shape, memory.b)
    return {
        "sizes": {str(size): each for size, each in of.items()},
        "time": {**asdict(search), "off": deviations(form, took)},
        "memory": {**asdict(memory), "off": deviations("m", peaks)},
        "file": asdict(fitted("m", files)),
        "bytes_needed": needed,
        "totals": forecast(search, merge, plan.shape, needed, plan.totals, plan.machines),
    }
