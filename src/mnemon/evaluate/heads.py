import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mnemon.evaluate.tracing import Look
from mnemon.model import LayerTrace, NeighbourTrace


@dataclass(frozen=True)
class Head:
    """How one head looked at its context and, where its layer has one, at its memory: means over tokens.

    `reach`: mean distance looked back in the context, in tokens. `span`: the learned span of an adaptive one.
    `entropy`, `memory_entropy`: of the weights within the context, and within what was retrieved, in nats; e to the
    power of it is how many tokens an even look would take in. `gate`: share of the output that the memory gives.
    `ages`: share of the retrieval's weight by age, from 1, 2-3, 4-7, 8-15 tokens and so on.
    """

    layer: int
    head: int
    reach: float
    entropy: float
    span: float | None
    gate: float | None
    memory_entropy: float | None
    ages: tuple[float, ...] | None


@dataclass
class _Sums:
    """What is added up for the heads of one layer."""

    tokens: Tensor
    reach: Tensor
    entropy: Tensor
    gate: Tensor | None
    retrieved: Tensor
    memory_entropy: Tensor
    ages: Tensor = field(repr=False)

    @classmethod
    def of(cls, trace: LayerTrace, oldest: int) -> "_Sums":
        zero = torch.zeros(trace.reach.shape[1])
        bins = torch.zeros(len(zero), int(math.log2(max(oldest, 1))) + 1)
        gate = None if trace.gate is None else trace.gate.cpu()
        return cls(zero, zero.clone(), zero.clone(), gate, zero.clone(), zero.clone(), bins)

    def add(self, look: Look, trace: LayerTrace) -> None:
        seen = trace.shares["local"][0] + trace.shares["cache"][0] > 0  # h t
        self.tokens += seen.sum(1).cpu()
        self.reach += trace.reach[0].sum(1).cpu()
        self.entropy += trace.entropy[0].sum(1).cpu()
        if trace.neighbours is not None:
            self._remembered(look, trace.neighbours)

    def _remembered(self, look: Look, found: NeighbourTrace) -> None:
        weights = (
            found.weights[0].masked_fill(~found.valid[0], 0.0).cpu()
        )  # h t k; empty slots (`faithful`) are no find
        self.retrieved += found.valid[0].any(-1).sum(1).cpu()
        self.memory_entropy += torch.special.entr(weights).sum((1, 2))
        age = look.ages(found).clamp(min=1).cpu().log2().long().clamp(max=self.ages.shape[1] - 1)
        self.ages.scatter_add_(1, age.flatten(1), weights.flatten(1).to(self.ages))


def heads(looks: Iterable[Look], spans: Mapping[int, Tensor], oldest: int) -> list[Head]:
    """Every head of every layer, over all that was looked at; `spans` by layer, no entry is `oldest` tokens old."""
    layers: dict[int, _Sums] = {}
    for look in looks:
        for trace in look.traces:
            layers.setdefault(trace.layer, _Sums.of(trace, oldest)).add(look, trace)
    return [
        _head(layer, head, sums, spans.get(layer)) for layer, sums in layers.items() for head in range(len(sums.tokens))
    ]


def _head(layer: int, head: int, sums: _Sums, spans: Tensor | None) -> Head:
    tokens, retrieved = max(float(sums.tokens[head]), 1.0), float(sums.retrieved[head])
    ages = sums.ages[head] / sums.ages[head].sum() if retrieved else None
    return Head(
        layer,
        head,
        float(sums.reach[head]) / tokens,
        float(sums.entropy[head]) / tokens,
        None if spans is None or head >= len(spans) else float(spans[head]),  # some heads may see no context
        None if sums.gate is None else float(sums.gate[head]),
        float(sums.memory_entropy[head]) / retrieved if retrieved else None,
        None if ages is None else tuple(ages.tolist()),
    )
