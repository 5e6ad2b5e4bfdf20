from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from mnemon.config import Problem
from mnemon.data import Batch
from mnemon.model import MemoryState, computing
from mnemon.pools import Fresh
from mnemon.recipes import recipe
from mnemon.studies.bench.peer import Peer
from mnemon.studies.bench.turns import ratios, spread
from mnemon.studies.machine import machine
from mnemon.studies.workers import Progress, run_all
from mnemon.train import RunConfig, Trainer

WITHOUT, REMEMBERING = "transformer-xl-tiny", "memorizing-tiny"
NONE, EMPTY, FULL = "no memory", "empty memory", "full memory"
PEER = "memorizing-transformers-pytorch"
SCRIPT = Path(__file__).parent / "peers" / "memorizing_transformers.py"
# How many times as long a step of the first takes as one of the second.
RATIOS = {"full_to_none": (FULL, NONE), "empty_to_none": (EMPTY, NONE), "peer_to_full": (PEER, FULL)}
VOCABULARY = 1024  # where the recipe leaves it to the texts


@dataclass(frozen=True)
class Plan:
    """What is compared: a recipe without and one with a kNN memory, in as many rounds of as many steps."""

    without: RunConfig
    remembering: RunConfig
    rounds: int
    steps: int
    peer_python: Path | None
    peer_script: Path


def bench_train(
    rounds: int = 5,
    steps: int = 4,
    peer_python: Path | None = None,
    without: RunConfig | None = None,
    remembering: RunConfig | None = None,
    progress: Progress = lambda *_: None,
    peer_script: Path = SCRIPT,
) -> dict[str, Any]:
    """Tokens a second of training steps: without a memory, with an empty one, with a full one, and a peer's full one.

    A step is forward, backward, clipping, optimiser and commit, on random tokens, as many in each model, on one thread.
    The models take turns round by round, so that whatever else the machine does meets them all alike. `peer_python`:
    interpreter of the peer's environment; without one its row says how to get it.
    """
    if min(rounds, steps) < 1:
        raise Problem(f"{rounds} rounds of {steps} steps: at least one of each")
    without, remembering = _sized(without or recipe(WITHOUT)), _sized(remembering or recipe(REMEMBERING))
    if remembering.model.pools.knn is None:
        raise Problem(f"{remembering.recipe}: has no kNN memory to measure")
    plan = Plan(without, remembering, rounds, steps, peer_python, peer_script)
    (found,) = run_all([partial(measure, plan)], progress)
    return {"format": 1, "benchmark": "train", **found}


def measure(plan: Plan, progress: Progress) -> dict[str, Any]:
    """All rounds, in this process."""
    tokens = plan.steps * plan.without.train.lanes * plan.without.model.segment
    seconds: dict[str, list[float]] = {NONE: [], EMPTY: [], FULL: []}
    with Peer(plan.peer_python, plan.peer_script, peer_shape(plan)) as peer:
        models = {NONE: Training(plan.without), EMPTY: Training(plan.remembering), FULL: Training(plan.remembering)}
        models[EMPTY].forget()
        models[FULL].fill()
        for training in models.values():
            training.seconds(-(-plan.without.model.window // plan.without.model.segment) + 1)  # its cache is full then
        for done in range(1, plan.rounds + 1):
            for name, training in models.items():
                seconds[name].append(training.seconds(plan.steps))
            peer.round()
            progress("rounds", done, plan.rounds, f"full memory {tokens / seconds[FULL][-1]:,.0f} tokens/s")
    rows = {name: row(tokens, took) for name, took in seconds.items()}
    rows[PEER] = {"missing": peer.missing} if peer.missing else {**row(tokens, peer.seconds), **peer.about}
    seconds |= {} if peer.missing else {PEER: peer.seconds}
    recipes = {"without": plan.without.model_dump(mode="json"), "remembering": plan.remembering.model_dump(mode="json")}
    return {
        "environment": machine(),
        "rounds": plan.rounds,
        "steps": plan.steps,
        "tokens_a_step": tokens // plan.steps,
        "models": rows,
        "ratios": ratios(seconds, RATIOS),
        "recipes": recipes,
    }


def row(tokens: int, seconds: Sequence[float]) -> dict[str, Any]:
    """Tokens a second over the rounds of one model."""
    return {"tokens_per_second": spread([tokens / each for each in seconds]), "seconds": list(seconds)}


def peer_shape(plan: Plan) -> dict[str, Any]:
    """What a peer is told of the model with a memory, so that it can build its own alike."""
    model, train = plan.remembering.model, plan.remembering.train
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
    }


class Training:
    """A model in training on random tokens, whose rows never come to the end of a document."""

    def __init__(self, config: RunConfig):
        self.config = config
        self.trainer = Trainer(config.model.build(config.train.seed), config.train)
        self.draw = torch.Generator().manual_seed(config.train.seed)

    def seconds(self, steps: int) -> float:
        """Make so many steps and say how long they took."""
        batches = [self.batch() for _ in range(steps)]
        begun = perf_counter()
        for batch in batches:
            self.trainer.advance(batch)
        return perf_counter() - begun

    def batch(self) -> Batch:
        """A segment of random tokens for each row."""
        rows, segment = self.config.train.lanes, self.config.model.segment
        tokens = torch.randint(self.config.model.vocab_size, (rows, segment + 1), generator=self.draw)
        none, lengths = torch.zeros(rows, dtype=torch.bool), torch.full((rows,), segment)
        return Batch(tokens[:, :-1], tokens[:, 1:], none, lengths, none, torch.arange(rows), lengths)

    def fill(self) -> None:
        """Have every row read a memory's worth of tokens, without learning from them."""
        (state,), knn = self.trainer.states, self.config.model.pools.knn
        assert knn is not None
        for _ in range(-(-knn.size // self.config.model.segment)):
            with torch.no_grad(), computing(self.trainer.device, self.config.train.precision):
                _, update = self.trainer.model(self.batch().tokens, state)
            state.commit(update)

    def forget(self) -> None:
        """From now on, empty the memory as soon as it is written."""
        self.trainer.states = [_Forgetful(state.pools, state.rows, state.segment) for state in self.trainer.states]


class _Forgetful(MemoryState):
    """A state whose kNN memory is written, as always, and emptied at once."""

    def commit(self, update: Sequence[Fresh], ends: Tensor | None = None, memory: bool = True) -> None:
        super().commit(update, ends, memory)
        everyone = torch.ones(self.rows, dtype=torch.bool)
        for layer, states in zip(self.pools, self.states, strict=True):
            states |= {name: pool.reset(states[name], everyone) for name, pool in layer.items() if name == "knn"}


def _sized(config: RunConfig) -> RunConfig:
    vocabulary = config.model.vocab_size or config.data.vocab_size or VOCABULARY
    return config.replace(model__vocab_size=vocabulary, train__accumulate=1)
