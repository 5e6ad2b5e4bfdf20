import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.model.context import Context
from mnemon.ops import Neighbours, Partial, wide


@dataclass(frozen=True)
class NeighbourTrace:
    """What each query retrieved: store ids, stream positions, and weights within the memory's partial result.

    `scores`: inner products of query and key, cosines where both are normalised; -inf where nothing is `valid`.
    """

    ids: Int[Tensor, "b h t k"]
    positions: Int[Tensor, "b h t k"]
    weights: Float[Tensor, "b h t k"]
    scores: Float[Tensor, "b h t k"]
    valid: Bool[Tensor, "b h t k"]


@dataclass(frozen=True)
class LayerTrace:
    """How one layer mixed its pools: `shares` of the output by pool sum to one wherever anything is seen.

    Of the context (cache and segment), with its weights w_n at distances x_n: `reach` = sum_n w_n x_n, the mean
    distance looked back, in tokens; `entropy` = -sum_n w_n log w_n, in nats; both 0 where it shows nothing. `layer`
    counts from the bottom, from 0.
    """

    shares: dict[str, Float[Tensor, "b h t"]]
    gate: Float[Tensor, " h"] | None
    neighbours: NeighbourTrace | None
    reach: Float[Tensor, "b h t"]
    entropy: Float[Tensor, "b h t"]
    layer: int = 0


def trace(
    parts: Mapping[str, Partial | None],
    context: Context,
    gate: Float[Tensor, " h"] | None,
    gated: str | None,
    over_all: bool,
    reads: Mapping[str, object],
) -> LayerTrace:
    """The shares of each pool in a layer's output, from the partial results it was merged from.

    `gated`: the pool that the gate mixes in; `over_all`: with all other pools, not with the context alone.
    """
    dense, memory = parts["context"], None if gated is None else parts[gated]
    assert dense is not None
    assert dense.weights is not None
    assert dense.z is not None
    pooled = {name: part for name, part in parts.items() if part is not None and name != gated}
    z = torch.stack([part.z for part in pooled.values() if part.z is not None], dim=-1)
    joint = torch.ones_like(z) if len(pooled) == 1 else torch.nan_to_num(z.softmax(-1))  # one alone is taken as it is
    split = dict(zip(pooled, joint.unbind(-1), strict=True))
    if gate is not None and gated is not None and memory is not None and memory.z is not None:
        g = torch.where(memory.z > -math.inf, wide(gate).sigmoid()[:, None], 0.0)
        weighed = split if over_all else {"context": split["context"]}
        split |= {name: share * (1 - g) for name, share in weighed.items()}
        split[gated] = g if over_all else weighed["context"] * g
    seen = wide(dense.weights.detach())
    here = torch.arange(seen.shape[2], device=seen.device)
    older = dense.weights[..., : context.cached].sum(-1)
    shares = {"local": split["context"] * (dense.weights.sum(-1) - older), "cache": split["context"] * older}
    shares |= {name: share for name, share in split.items() if name != "context"}
    found = [_neighbours(read, parts[name]) for name, read in reads.items() if isinstance(read, Neighbours)]
    return LayerTrace(
        {name: share.detach() for name, share in shares.items()},
        None if gate is None else wide(gate.detach()).sigmoid(),
        found[0] if found else None,
        (seen * (here[:, None] - context.offset)).sum(-1),
        torch.special.entr(seen).sum(-1),
    )


def _neighbours(read: Neighbours, part: Partial | None) -> NeighbourTrace:
    assert part is not None
    assert part.weights is not None
    positions = read.positions[read.rows[:, None], read.ids.flatten(1)].view(read.ids.shape)
    positions = positions.masked_fill(~read.valid, -1)
    return NeighbourTrace(read.ids, positions, part.weights, wide(read.scores), read.valid)
