"""What a token costs when it is written: beside no memory, and beside attention over a cache of as many tokens."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mnemon.config import Problem
from mnemon.index import exact_search
from mnemon.model import MemoryState, Transformer
from mnemon.pools import KNNState
from mnemon.report import Chart
from mnemon.studies.bench.floor import Rates, Work, copy_rate
from mnemon.studies.bench.recall import recall
from mnemon.studies.bench.standing import full_state, keys_alike, remembering_model, step, tokens
from mnemon.studies.bench.turns import one_thread, ratios, seconds, spreads, take_turns
from mnemon.studies.machine import machine
from mnemon.studies.pages import Record, row
from mnemon.studies.workers import Progress

NONE, FULL = "no memory", "full attention"
APPROXIMATE = "faiss-ivf:lists=1024,probes=16"
RATED = 1 << 27  # bytes copied to have the rate at which memory is read
ASKED = 16  # queries of a head, by which an index is held against the exact search


@dataclass(frozen=True)
class Plan:
    """What is measured: one-token steps of a recipe's model, with each index at each size, in `rounds` of `steps`."""

    recipe: str = "memorizing-200m"
    sizes: Sequence[int] = (8192, 65_536, 262_144)
    indexes: Sequence[str] = ("exact", APPROXIMATE)
    steps: int = 4
    rounds: int = 5
    dtype: str = "float32"


def bench_decode(plan: Plan | None = None, progress: Progress = lambda *_: None) -> Record:
    """Seconds a token, and how many times as long as with a memory a token takes with full attention.

    Full attention is the same model, and in each of its layers one query of every head against as many cached keys and
    values: the faster of PyTorch's fused kernel and its plain products, without positions, masks or a copy, so the
    least that attention over such a cache takes. Contenders take turns, in one process on one thread.
    """
    plan = plan or Plan()
    if not plan.sizes or not plan.indexes or min(plan.steps, plan.rounds) < 1:
        raise Problem(f"{plan.rounds} rounds of {plan.steps} steps: at least one of each, one size and one index")
    with one_thread(), torch.no_grad():
        model = remembering_model(plan.recipe, getattr(torch, plan.dtype))
        knn = model.config.pools.knn
        assert knn is not None
        if min(plan.sizes) < knn.top_k:
            raise Problem(f"a memory of {min(plan.sizes)} entries is smaller than top_k = {knn.top_k}")
        rows = [measure(plan, model, size, knn.top_k, progress) for size in plan.sizes]
        rates = Rates(flops=math.inf, bytes=copy_rate(RATED))  # products with one query wait for what they read
        for each in rows:
            each["floor"] = {name: rates.floor(Work(bytes=n)) for name, n in least_read(model, each["size"]).items()}
    about = {**asdict(plan), "layers": model.config.n_layers, "memory_layers": list(knn.layers), "top_k": knn.top_k}
    return {"format": 1, "benchmark": "decode", **about, "rows": rows, "environment": machine()}


def measure(plan: Plan, model: Transformer, size: int, top_k: int, progress: Progress) -> Record:
    """All contenders at one size."""
    draw = torch.Generator().manual_seed(0)
    states = {NONE: full_state(model, 0)}
    built = {}
    for index in plan.indexes:
        begun = process_time()
        states[index] = full_state(model, size, index)
        built[index] = process_time() - begun
    fed = partial(tokens, model, draw)
    acts: dict[str, Callable[[], None]] = {
        name: partial(_write, model, state, fed, plan.steps) for name, state in states.items()
    }
    cached = Cached(model, size)
    acts[FULL] = partial(cached.write, acts[NONE], plan.steps)
    took = take_turns(acts, plan.rounds, lambda _, done, total, said: progress(f"{size:,}", done, total, said))
    pairs = {index: (FULL, index) for index in plan.indexes} | {
        f"{index}, none": (index, NONE) for index in plan.indexes
    }
    each = {name: [value / plan.steps for value in of] for name, of in took.items()}
    return {
        "size": size,
        "seconds": spreads(each),
        "ratios": ratios(took, pairs),
        # After the rounds, for an index may build itself when it is first asked.
        "recall": {index: _recall(model, states[index], top_k) for index in plan.indexes},
        "build_seconds": built,
        "kernel": cached.kernel,
    }


def least_read(model: Transformer, size: int) -> dict[str, int]:
    """Bytes that a token reads at least: weights, window, and the keys compared or the keys and values attended to."""
    config, like = model.config, next(model.parameters())
    knn = config.pools.knn
    assert knn is not None
    wide = config.n_heads * config.head_dim * like.element_size()
    head: Any = model.head
    looked_up = 0 if head.tied else sum(each.numel() for each in model.embedding.parameters())
    weights = (sum(each.numel() for each in model.parameters()) - looked_up) * like.element_size()
    none = weights + config.n_layers * 2 * wide * config.window
    return {NONE: none, "exact": none + len(knn.layers) * wide * size, FULL: none + config.n_layers * 2 * wide * size}


def _write(model: Transformer, state: MemoryState, fed: Callable[[], Tensor], steps: int) -> None:
    for _ in range(steps):
        step(model, state, fed())


class Cached:
    """Keys and values of as many tokens, to which every layer attends; one copy stands for those of all layers."""

    def __init__(self, model: Transformer, size: int):
        config, like = model.config, next(model.parameters())
        draw = torch.Generator().manual_seed(1)
        shape = (1, config.n_heads, size, config.head_dim)
        self.q = torch.randn(1, config.n_heads, 1, config.head_dim, generator=draw).to(like)
        self.k, self.v = (torch.randn(shape, generator=draw).to(like) for _ in range(2))
        self.layers = config.n_layers
        took = {}
        for name, attend in KERNELS.items():
            attend(self.q, self.k, self.v)
            took[name] = min(seconds(partial(attend, self.q, self.k, self.v)) for _ in range(3))
        self.kernel = min(took, key=lambda name: took[name])

    def write(self, without: Callable[[], None], steps: int) -> None:
        """What the model does `without` a memory, and attention over the cache in each layer of each step."""
        without()
        for _ in range(steps * self.layers):
            KERNELS[self.kernel](self.q, self.k, self.v)


def _products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT).float().softmax(-1).to(v.dtype) @ v


KERNELS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "fused": functional.scaled_dot_product_attention,
    "products": _products,
}


def _recall(model: Transformer, state: MemoryState, top_k: int) -> float:
    """The share of the true neighbours that the memory of a state finds, for queries like its keys."""
    config, draw = model.config, torch.Generator().manual_seed(2)
    (knn, *_) = [each for layer in state.states for each in layer.values() if isinstance(each, KNNState)]
    assert knn.store is not None
    like = next(model.parameters())
    q = keys_alike(1, config.pools.heads(config.n_heads), ASKED, config.head_dim, draw).to(like)
    found = knn.store.find(q, top_k, knn.rows)
    assert found is not None
    best = exact_search(q, found.keys[:, :, : knn.size], top_k)[1]
    return recall(found.ids.masked_fill(~found.valid, -1), best)


def decode_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    """`bench_decode` as a table of `reproduce`: nothing is trained, so folder, time and seeds make no difference."""
    return bench_decode(progress=progress)


def decode_lines(record: Record) -> list[str]:
    """Milliseconds a token by memory, and what full attention takes beside it."""
    head = ["remembered tokens", "memory", "ms a token", "to no memory", "full attention, ms", "full attention to it"]
    lines = [row([*head, "recall"]), row(["---"] * 7)]
    for of in record["rows"]:
        full = of["seconds"][FULL]["median"]
        for index in record["indexes"]:
            cells = [f"{of['size']:,}", index, f"{1000 * of['seconds'][index]['median']:,.1f}"]
            cells += [f"{of['ratios'][f'{index}, none']['median']:.2f}", f"{1000 * full:,.0f}"]
            lines.append(row([*cells, f"{of['ratios'][index]['median']:.1f}", f"{of['recall'][index]:.3f}"]))
    lines += ["", row(["remembered tokens", "", "ms a token", "floor, ms", "times the floor"]), row(["---"] * 5)]
    for of in record["rows"]:
        for name in (each for each in of["floor"] if each in of["seconds"]):
            took, floor = of["seconds"][name]["median"], of["floor"][name]
            cells = [f"{1000 * took:,.1f}", f"{1000 * floor:,.1f}", f"{took / floor:.2f}"]
            lines.append(row([f"{of['size']:,}", name, *cells]))
    about = f"`{record['recipe']}`, {record['layers']} layers, {record['dtype']}, top {record['top_k']}"
    turns = f"{record['rounds']} rounds of {record['steps']} tokens"
    lines += ["", "How it was made:", "", f"- {about}; one thread, processor time, medians of {turns}, taken in turns."]
    return [
        *lines,
        "- Full attention: the same model, and in every layer one query a head against so many cached keys and values "
        "by the fastest kernel of PyTorch, without positions, masks or copies: less than a real cache takes.",
        "- Floor: the bytes that a token has to read (weights, window, and the keys compared, or the keys and values "
        "attended to) at the rate at which this machine copies.",
        "- Keys lie about 1024 centres, at a cosine of about 0.7 (`keys_alike`); recall: of queries drawn alike.",
    ]


def decode_chart(found: Record) -> Chart:
    """Milliseconds a token by remembered tokens."""
    names = [NONE, *found["indexes"], FULL]
    took = {
        name: {of["size"]: {key: 1000 * value for key, value in of["seconds"][name].items()} for of in found["rows"]}
        for name in names
    }
    return Chart.by_size("One token written", "milliseconds on one thread", "remembered tokens", took)
