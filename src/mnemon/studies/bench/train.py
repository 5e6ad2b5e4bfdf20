from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mnemon.config import Problem
from mnemon.studies.bench.peer import Peer
from mnemon.studies.bench.train_floor import floor, traffic
from mnemon.studies.bench.train_shapes import Shape
from mnemon.studies.bench.training import Training
from mnemon.studies.bench.turns import ratios, spread
from mnemon.studies.machine import machine
from mnemon.studies.workers import Progress, run_all

NONE, EMPTY, SHALLOW = "no memory", "empty memory", "no memory, one layer"
PEER = "memorizing-transformers-pytorch"
SCRIPT = Path(__file__).parent / "peers" / "memorizing_transformers.py"
Clocks = dict[str, list[tuple[float, float]]]  # by model and round: seconds by the clock, and in processor time


@dataclass(frozen=True)
class Plan:
    """What is compared, in as many rounds of as many steps, on so many threads."""

    shape: Shape
    rounds: int
    steps: int
    threads: int
    peer_python: Path | None
    peer_script: Path


def holding(size: int) -> str:
    """The name of the model with a full memory of so many entries."""
    return f"memory of {size:,}"


def bench_train(
    shape: Shape,
    rounds: int = 5,
    steps: int | None = None,
    threads: int = 1,
    peer_python: Path | None = None,
    peer_script: Path = SCRIPT,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Training steps without a memory, with full ones of several sizes, and of a peer with the first of these sizes.

    A step is forward, backward, clipping, optimiser and commit, on random tokens, as many in each model. The models
    take turns round by round, so that whatever else the machine does meets them all alike. Ratios of ours are those of
    processor time on one thread, of the clock's on several; a peer's is always the clock's. Of a shape that is cut
    to some of its layers, what all would take is told by what one layer takes. `peer_python`: interpreter of the peer's
    environment; without one its row says how to get it.
    """
    steps = shape.steps if steps is None else steps
    if min(rounds, steps, threads) < 1:
        raise Problem(f"{rounds} rounds of {steps} steps on {threads} threads: at least one of each")
    plan = Plan(shape, rounds, steps, threads, peer_python, peer_script)
    (found,) = run_all([partial(measure, plan)], progress)
    return {"format": 2, "benchmark": "train", "shape": shape.name, **found}


def measure(plan: Plan, progress: Progress) -> dict[str, Any]:
    """All rounds, in this process."""
    torch.set_num_threads(plan.threads)
    shape = plan.shape
    train, model = shape.without.train, shape.without.model
    tokens = plan.steps * train.lanes * model.segment
    largest = shape.memory(shape.memories[0])
    peer_python = plan.peer_python if shape.peer else None
    with Peer(peer_python, plan.peer_script, peer_shape(plan, largest)) as peer:
        models = trainings(shape)
        clocks: Clocks = {name: [] for name in models}
        for training in models.values():
            training.seconds(-(-model.window // model.segment) + 1)  # its cache is full then
        for done in range(1, plan.rounds + 1):
            for name, training in models.items():
                clocks[name].append(training.seconds(plan.steps))
            peer.round()
            progress("rounds", done, plan.rounds, f"{tokens / clocks[NONE][-1][0]:,.0f} tokens/s without a memory")
    rows = {name: row(tokens, took) for name, took in clocks.items()}
    wall = {name: [of[0] for of in took] for name, took in clocks.items()}
    if shape.peer:
        rows[PEER] = {"missing": peer.missing} if peer.missing else {**row(tokens, _alone(peer.seconds)), **peer.about}
        wall |= {} if peer.missing else {PEER: peer.seconds}
    worked = {name: [of[1] for of in took] for name, took in clocks.items()} if plan.threads == 1 else wall
    floors(models, rows, plan)
    return {
        "environment": machine(),
        "rounds": plan.rounds,
        "steps": plan.steps,
        "layers": [shape.layers, shape.whole],
        "tokens_a_step": tokens // plan.steps,
        "models": rows,
        "ratios": compared(shape, worked, wall),
        "recipes": {
            "without": shape.without.model_dump(mode="json"),
            "remembering": largest.model_dump(mode="json"),
        },
    }


def trainings(shape: Shape) -> dict[str, Training]:
    """The models by name, their memories filled; those with a memory share their weights."""
    found = {NONE: Training(shape.without)}
    if shape.layers < shape.whole and shape.layers > 1:
        found[SHALLOW] = Training(shape.without.replace(model__n_layers=1))
    first: Training | None = None
    if shape.empties:
        first = found[EMPTY] = Training(shape.remembering)
        first.forget()
    for size in shape.memories:
        first = found[holding(size)] = Training(shape.memory(size), first)
        first.fill()
    return found


def row(tokens: int, clocks: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Tokens a second of one model over its rounds, and its seconds by the clock and in processor time."""
    seconds, worked = ([each[which] for each in clocks] for which in (0, 1))
    return {
        "tokens_per_second": spread([tokens / each for each in seconds]),
        "seconds": seconds,
        "processor_seconds": worked,
    }


def compared(shape: Shape, worked: Mapping[str, list[float]], wall: Mapping[str, list[float]]) -> dict[str, Any]:
    """How many times as long a step of one model takes as one of another."""
    names = [name for name in worked if name not in (NONE, SHALLOW, PEER)]
    first = holding(shape.memories[0])
    found: dict[str, Any] = ratios(worked, {f"{name} to none": (name, NONE) for name in names})
    found |= ratios(wall, {f"peer to {first}": (PEER, first)})
    if SHALLOW in worked:
        alone = [(a - b) / (shape.layers - 1) for a, b in zip(worked[NONE], worked[SHALLOW], strict=True)]
        more = [(shape.whole - shape.layers) * each for each in alone]
        whole = {name: [a + b for a, b in zip(worked[name], more, strict=True)] for name in (NONE, *names)}
        found |= ratios(whole, {f"{name} to none, all {shape.whole} layers told": (name, NONE) for name in names})
    return found


def floors(models: Mapping[str, Training], rows: dict[str, dict[str, Any]], plan: Plan) -> None:
    """Add to each of our models the floor of its step, and what share of it was reached."""
    rates: dict[tuple[int, int, int], float] = {}
    copied = traffic()
    for name, training in models.items():
        parameters = sum(p.numel() for p in training.trainer.model.parameters())
        config = training.config
        config = config.replace(model__pools__knn=None) if name == EMPTY else config
        least = floor(config, parameters, rates, copied)
        took = spread(rows[name]["processor_seconds" if plan.threads == 1 else "seconds"])["median"] / plan.steps
        products = {" x ".join(map(str, product)): rate for product, rate in rates.items()}
        rows[name] |= {"floor": {**least, "share": least["seconds"] / took, "products": products, "copied": copied}}


def peer_shape(plan: Plan, remembering: Any) -> dict[str, Any]:
    """What a peer is told of the model with a memory, so that it can build its own alike."""
    model, train = remembering.model, remembering.train
    knn, cache, inner = model.pools.knn, model.pools.cache, model.feedforward
    assert knn is not None
    return {
        "vocabulary": model.vocab_size,
        "dim": model.dim,
        "layers": model.n_layers,
        "heads": model.n_heads,
        "head_dim": model.head_dim,
        "feedforward": 0 if inner is None else inner.dim,
        "segment": model.segment,
        "cache": 0 if cache is None else cache.kept(model.window),
        "memory_layers": list(knn.layers),
        "memory": knn.size,
        "top_k": knn.top_k,
        "lanes": train.lanes,
        "rounds": plan.rounds,
        "steps": plan.steps,
        "seed": train.seed,
        "threads": plan.threads,
    }


def _alone(seconds: Sequence[float]) -> list[tuple[float, float]]:
    return [(each, each) for each in seconds]
