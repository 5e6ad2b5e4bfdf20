from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mnemon.data import Tokenizer, inputs_and_targets
from mnemon.evaluate.reading import Text
from mnemon.model import LayerTrace, MemoryState, NeighbourTrace, Precision, computing


@dataclass(frozen=True)
class Found:
    """A remembered token that a head looked at.

    `token`: the one whose value it gave. `weight`: its share of the head's output. `distance`: 1 - q.k, the cosine
    distance of query and key where both are normalised.
    """

    token: int
    layer: int
    head: int
    weight: float
    distance: float


@dataclass(frozen=True)
class Look:
    """What the layers looked at while they predicted the tokens from number `first` on.

    `back`: the stream position of a token is its number plus this. `stored`: the tokens in the memory meanwhile.
    """

    first: int
    back: int
    stored: range
    traces: tuple[LayerTrace, ...]

    def tokens(self, found: NeighbourTrace) -> Int[Tensor, "h t k"]:
        """The token whose value each neighbour gave; -1 where there is none."""
        return (found.positions[0] - self.back).clamp(min=-1)

    def ages(self, found: NeighbourTrace) -> Int[Tensor, "h t k"]:
        """How many tokens before the predicted one each of them stands; meaningless where there is none."""
        tokens = self.tokens(found)
        return self.first + torch.arange(tokens.shape[1], device=tokens.device)[:, None] - tokens

    def heaviest(self, most: int) -> list[list[Found]]:
        """For each predicted token the remembered tokens of largest weight over all heads, each once."""
        parts = [part for trace in self.traces if (part := _flat(self, trace)) is not None]
        length = self.traces[0].reach.shape[2]
        if not parts:
            return [[] for _ in range(length)]
        weight, token, score, layer, head = (torch.cat(each, dim=1) for each in zip(*parts, strict=True))
        heads = len({*zip(layer[0].tolist(), head[0].tolist(), strict=True)})
        # A head looks at a token once, so the first `most` tokens are among so many entries.
        best = weight.topk(min(most * heads, weight.shape[1]), dim=1)[1]
        columns = [each.gather(1, best).tolist() for each in (token, layer, head, weight, 1 - score)]
        return [_distinct(zip(*entries, strict=True), most) for entries in zip(*columns, strict=True)]


def traced(
    model: nn.Module,
    tokenizer: Tokenizer,
    text: Text,
    memory: int,
    precision: Precision,
    count: Callable[[int], None] = lambda tokens: None,
) -> Iterator[Look]:
    """Read a text by itself, a segment at a time, from an empty memory of that size, and tell what was looked at."""
    inputs, _ = inputs_and_targets(text.ids, tokenizer.start)
    back = 0 if tokenizer.start is None else 1  # the start id stands before token 0
    owner: Any = model
    state: MemoryState = owner.init_state(1, memory)
    device = next(model.parameters()).device
    for first in range(0, len(inputs), state.segment):
        piece = torch.from_numpy(inputs[first : first + state.segment].astype(np.int64))[None]
        with torch.no_grad(), computing(device, precision):
            output, update = owner(piece.to(device), state, inspect=True)
        stored = range(max(first - memory, 0) - back, first - back) if memory else range(0)
        yield Look(first + 1 - back, back, stored, output.traces)
        state.commit(update)
        count(piece.shape[1])


def _flat(look: Look, trace: LayerTrace) -> tuple[Tensor, ...] | None:
    """Weights, tokens, scores, layers and heads of all entries that a layer looked at, as [t n]."""
    found = trace.neighbours
    if found is None:
        return None
    share: Float[Tensor, "h t 1"] = trace.shares["knn"][0, :, :, None]
    head = torch.arange(share.shape[0], device=share.device)[:, None, None].expand_as(found.weights[0])
    parts = (found.weights[0] * share, look.tokens(found), found.scores[0], torch.full_like(head, trace.layer), head)
    return tuple(part.transpose(0, 1).flatten(1) for part in parts)


def _distinct(entries: Any, most: int) -> list[Found]:
    """The first entries that are of different tokens; the start id is no token."""
    kept: dict[int, Found] = {}
    for token, layer, head, weight, distance in entries:
        if token >= 0 and weight > 0 and token not in kept and len(kept) < most:
            kept[token] = Found(token, layer, head, weight, distance)
    return list(kept.values())
