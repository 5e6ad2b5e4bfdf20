from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mnemon.config import Problem
from mnemon.index import ENGINES, exact_search, kernel
from mnemon.index.certified import certified_search
from mnemon.index.exact import Certify, proven_search
from mnemon.index.faiss import pairwise
from mnemon.studies.bench.floor import Rates, Work, copy_rate, product_rate
from mnemon.studies.bench.standing import keys_alike
from mnemon.studies.bench.turns import one_thread, ratios, spreads, take_turns
from mnemon.studies.machine import machine
from mnemon.studies.pages import Record
from mnemon.studies.workers import Progress

PRODUCT, FRESH, FULL, FAISS = "product", "product, fresh room", "float32 alone", "faiss.knn"
ASKED = 64  # queries of a head whose true neighbours are computed
ONE = 32  # searches of one query in a round
ENGINE_NAMES = tuple(ENGINES)


@dataclass(frozen=True)
class Plan:
    """What is searched. `shapes`: heads, queries and entries; `sizes`: entries that one query is searched in.

    `keys`: `random` unit vectors, or such that lie `alike` in crowds (`keys_alike`).
    """

    shapes: Sequence[tuple[int, int, int]] = ((1, 4096, 65_536), (8, 512, 65_536), (16, 512, 8192))
    sizes: Sequence[int] = (8192, 65_536, 262_144)
    keys: Sequence[str] = ("random", "alike")
    top_k: int = 32
    dim: int = 64
    rounds: int = 5


def bench_search(plan: Plan = Plan(), progress: Progress = lambda *_: None) -> dict[str, Any]:
    """Exact search beside the bare product, the floor and `faiss.knn`; one query by size beside indexes of faiss.

    Processor time on one thread, in turns. `floor`: operations at the rate of products that stay in the cache, and
    bytes of queries, keys, scores and ids that are returned.
    """
    if min([plan.top_k, plan.dim, plan.rounds, *plan.sizes, *(x for shape in plan.shapes for x in shape)]) < 1:
        raise Problem("shapes, sizes, top_k, dim and rounds must each be at least 1")
    if unknown := set(plan.keys) - {"random", "alike"}:
        raise Problem(f"keys {', '.join(sorted(unknown))}: give random, alike or both")
    with one_thread():
        rates = Rates(product_rate(1024, plan.dim, 1024, torch.bfloat16), copy_rate())
        many = [_many(plan, shape, keys, rates, progress) for shape in plan.shapes for keys in plan.keys]
        one = [_one(plan, size, keys, progress) for size in plan.sizes for keys in plan.keys]
    about = {**asdict(plan), "kernel": kernel.built() is not None, "environment": machine()}
    return {"format": 1, "benchmark": "search", **about, "rates": asdict(rates), "many": many, "one": one}


def _many(plan: Plan, shape: tuple[int, int, int], kind: str, rates: Rates, progress: Progress) -> dict[str, Any]:
    heads, queries, entries = shape
    q, keys = _drawn(kind, heads, queries, plan.dim, 1), _drawn(kind, heads, entries, plan.dim, 2)
    narrow_q, narrow = q.bfloat16(), keys.bfloat16()
    room = torch.empty(queries, entries, dtype=torch.bfloat16)

    def product(out: Tensor | None) -> None:
        for one, each in zip(narrow_q, narrow, strict=True):
            torch.mm(one, each.T, out=out)

    ways: dict[str, Certify] = {"PyTorch": certified_search}
    ways |= {"kernel": kernel.kernel_search} if kernel.built() is not None else {}
    searches: dict[str, Callable[[], tuple[Tensor, ...]]] = {}
    for name, way in ways.items():
        searches[f"{name}, bfloat16 keys"] = partial(proven_search, narrow_q, narrow, plan.top_k, certify=way)
        searches[f"{name}, float32 keys"] = partial(proven_search, q, keys, plan.top_k, certify=way)
    acts: dict[str, Callable[[], object]] = {PRODUCT: partial(product, room), FRESH: partial(product, None)}
    acts |= searches | {FULL: lambda: [(one @ each.T).topk(plan.top_k) for one, each in zip(q, keys, strict=True)]}
    missing = {}
    try:
        pairwise(q[0, :1].numpy(), keys[0, :2].numpy(), 1)
        acts[FAISS] = lambda: [pairwise(a.numpy(), b.numpy(), plan.top_k) for a, b in zip(q, keys, strict=True)]
    except Problem as problem:
        missing[FAISS] = str(problem)
    took = take_turns(acts, plan.rounds, progress)
    found = {}
    for name, search in searches.items():
        _, ids, certified = search()
        asked = (narrow_q, narrow) if "bfloat16" in name else (q, keys)
        found[name] = {"recall": _recall(*asked, ids, plan.top_k), "certified": certified.float().mean().item()}
    moved = narrow_q.nbytes + narrow.nbytes + heads * queries * plan.top_k * 12
    return {
        "heads": heads,
        "queries": queries,
        "entries": entries,
        "keys": kind,
        "seconds": spreads(took),
        "to_product": ratios(took, {name: (name, PRODUCT) for name in took}),
        "faiss_to": ratios(took, {name: (FAISS, name) for name in searches}),
        "found": found,
        "missing": missing,
        "floor": rates.floor(Work(2.0 * heads * queries * entries * plan.dim, moved)),
    }


def _one(plan: Plan, size: int, kind: str, progress: Progress) -> dict[str, Any]:
    """One query of one head after the other, by exact search and by indexes that stand."""
    q, keys = _drawn(kind, 1, ONE, plan.dim, 1), _drawn(kind, 1, size, plan.dim, 2)
    narrow_q, narrow = q.bfloat16(), keys.bfloat16()
    asks: dict[str, Callable[[int], np.ndarray]] = {
        "exact, float32": lambda at: exact_search(q[:, at : at + 1], keys, plan.top_k)[1].numpy(),
        "exact, bfloat16": lambda at: exact_search(narrow_q[:, at : at + 1], narrow, plan.top_k)[1].numpy(),
    }
    building, missing = {}, {}
    for name in ENGINE_NAMES:
        begun = process_time()
        try:
            engine = ENGINES[name](keys[0].numpy())
        except Problem as problem:
            missing[name] = str(problem)
            continue
        building[name] = process_time() - begun
        asks[name] = partial(lambda engine, at: engine.ask(q[0, at : at + 1].numpy(), plan.top_k), engine)
    took = take_turns({name: partial(_each, ask) for name, ask in asks.items()}, plan.rounds, progress)
    seconds = {name: [each / ONE for each in of] for name, of in took.items()}
    ids = {name: torch.from_numpy(np.stack([ask(at).reshape(-1) for at in range(ONE)])) for name, ask in asks.items()}
    return {
        "size": size,
        "keys": kind,
        "seconds": spreads(seconds),
        "building": building,
        "recall": {
            name: _recall(*((narrow_q, narrow) if "bfloat16" in name else (q, keys)), of[None], plan.top_k)
            for name, of in ids.items()
        },
        "missing": missing,
    }


def _each(ask: Callable[[int], np.ndarray]) -> None:
    for at in range(ONE):
        ask(at)


def _drawn(kind: str, heads: int, n: int, dim: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    if kind == "alike":
        return keys_alike(1, heads, n, dim, draw)[0]
    return functional.normalize(torch.randn(heads, n, dim, generator=draw), dim=-1)


def _recall(q: Tensor, keys: Tensor, ids: Tensor, top_k: int) -> float:
    """The share of the true neighbours of some queries, by float64 products; an equally good key is as good."""
    shares = []
    for one, each, found in zip(q[:, :ASKED], keys, ids[:, :ASKED], strict=True):
        real = one.double() @ each.double().T
        least = real.topk(min(top_k, real.shape[-1]), dim=-1)[0][:, -1:]
        got = real.gather(-1, found.clamp(min=0)).masked_fill(found < 0, -torch.inf)
        shares.append((got >= least - 1e-6 * least.abs()).float().mean())
    return torch.stack(shares).mean().item()


def search_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    """`bench_search` as a table of `reproduce`: nothing is trained, so folder, time and seeds make no difference."""
    return bench_search(progress=progress)
