"""What a memory attached to a foreign model costs, beside the plain model and beside an ordinary cache as long."""

from dataclasses import asdict, dataclass, field
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from mnemon.config import Problem
from mnemon.hosts import Memory, attach, detach
from mnemon.hosts.plain import Shape, plain_host
from mnemon.memory import Document, DocumentStore
from mnemon.studies.bench.turns import one_thread, seconds, spread
from mnemon.studies.machine import machine
from mnemon.studies.pages import Record
from mnemon.studies.workers import Progress

PLAIN, REMEMBERING, CACHED = "plain", "memory", "full cache"
SEGMENTS, SEGMENT = 8, 512  # of a document that is read: as many as are fed at once


@dataclass(frozen=True)
class Plan:
    """What is measured: a memory, or a cache, of `size` tokens; a prompt; `steps` tokens one by one; in `rounds`."""

    shape: Shape = field(default_factory=Shape)
    size: int = 65_536
    prompt: int = 512
    steps: int = 12
    rounds: int = 5
    top_k: int = 32


def bench_attach(plan: Plan | None = None, progress: Progress = lambda *_: None) -> Record:
    """Prefill, one-token decode and reading of a Llama with random weights: plain, with a full memory, with a cache.

    They take turns round by round (A B A B), in one process on one thread. Times are processor time, in which other
    programs have no part. The memory is in the layer that `attach` chooses by itself; keys and values of memory and
    cache are random: what they are changes no time.
    """
    plan = plan or Plan()
    if min(plan.size, plan.prompt, plan.steps, plan.rounds, plan.top_k) < 1:
        raise Problem("size, prompt, steps, rounds and top_k must each be at least 1")
    about = {**asdict(plan), "read": SEGMENTS * SEGMENT}
    with one_thread():
        return {"format": 1, "benchmark": "attach", **about, **measure(plan, progress), "environment": machine()}


def measure(plan: Plan, progress: Progress) -> dict[str, Any]:
    """All rounds, in this process."""
    rig = Rig(plan)
    took: dict[str, dict[str, list[float]]] = {"prefill": {}, "decode": {}, "read": {}}  # in the order of the page
    for done in range(plan.rounds + 1):
        for what, who, each in rig.round():
            if done:  # the first round warms up
                took[what].setdefault(who, []).append(each)
        progress("rounds", done, plan.rounds, "")
    spreads = {what: {who: spread(each) for who, each in of.items()} for what, of in took.items()}
    ratios = {
        f"{what}: {slow} to {fast}": spread([a / b for a, b in zip(took[what][slow], took[what][fast], strict=True)])
        for what, slow, fast in (
            ("prefill", REMEMBERING, PLAIN),
            ("decode", REMEMBERING, PLAIN),
            ("decode", CACHED, REMEMBERING),
            ("read", REMEMBERING, PLAIN),
        )
    }
    return {"layer": rig.layer, "parameters": rig.parameters, "seconds": spreads, "ratios": ratios}


class Rig:
    """A host, a full memory for it, and an ordinary cache that holds as many tokens."""

    def __init__(self, plan: Plan):
        self.plan, self.draw = plan, torch.Generator().manual_seed(0)
        self.host = plain_host(plan.shape, 2 * (plan.size + plan.prompt + plan.steps))
        self.parameters = sum(each.numel() for each in self.host.parameters())
        self.layer = attach(self.host, size=plan.size).layers[0]
        detach(self.host)
        self.store = DocumentStore(plan.size)
        keys, values = ({self.layer: self._random()[0]} for _ in range(2))
        none = torch.zeros(plan.size, dtype=torch.long)
        places = torch.arange(plan.size)
        self.store.add(Document("random", "", "", "", "", none, torch.stack([none, none], 1), places, keys, values))
        self.prompt, self.text = self._tokens(plan.prompt), self._tokens(SEGMENTS * SEGMENT)
        with torch.no_grad():
            self.cache: Any = self._call(self.prompt, None).past_key_values
            self.long: Any = self._call(self._tokens(1), None).past_key_values
            for layer in range(plan.shape.layers):
                self.long.update(self._random(), self._random(), layer)

    def round(self) -> list[tuple[str, str, float]]:
        """What was measured, of whom, and the seconds it took."""
        found = []
        with torch.no_grad():
            for who in (PLAIN, REMEMBERING):
                memory = self._remembering() if who == REMEMBERING else None
                found.append(("prefill", who, seconds(partial(self._call, self.prompt, None))))
                reading = self._plain_reading if memory is None else partial(self._reading, memory)
                found.append(("read", who, seconds(reading)))
                if memory is not None:
                    detach(self.host)
            took: dict[str, list[float]] = {PLAIN: [], REMEMBERING: []}
            for _ in range(self.plan.steps):  # token by token, so that the machine is the same for both
                took[PLAIN].append(self._decode(self.cache))
                self._remembering()
                took[REMEMBERING].append(self._decode(self.cache))
                detach(self.host)
            found += [("decode", who, median(each)) for who, each in took.items()]
            found.append(("decode", CACHED, self._decode(self.long)))
        return found

    def _decode(self, cache: Any) -> float:
        """Seconds of one token; afterwards the cache is as it was."""
        took = seconds(partial(self._call, self._tokens(1), cache))
        cache.crop(-1)
        return took

    def _remembering(self) -> Memory:
        memory = attach(self.host, size=self.plan.size, top_k=self.plan.top_k)
        memory.source.stores[""] = self.store
        return memory

    def _reading(self, memory: Memory) -> None:
        memory.read(input_ids=self.text, document="read", namespace="read")
        memory.forget("read", namespace="read")

    def _plain_reading(self) -> None:
        """The same tokens through the whole body of the host, in segments that repeat nothing."""
        self.host.base_model(input_ids=self.text.view(SEGMENTS, SEGMENT), use_cache=False)

    def _call(self, tokens: Tensor, cache: Any) -> Any:
        return self.host(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)

    def _tokens(self, n: int) -> Tensor:
        return torch.randint(self.plan.shape.vocabulary, (1, n), generator=self.draw)

    def _random(self) -> Tensor:
        shape = self.plan.shape
        return torch.randn(1, shape.groups, self.plan.size, shape.dim // shape.heads, generator=self.draw).to(
            self.host.dtype
        )
