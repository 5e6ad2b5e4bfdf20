import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.model.context import Context
from mnemon.ops import Neighbours, Partial, wide
from mnemon.pools import Merge


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
    merges: Mapping[str, Merge],
    gate: Float[Tensor, " h"] | None,
    over_all: bool,
    reads: Mapping[str, object],
) -> LayerTrace:
    """The shares of each pool in a layer's output, from the partial results it was merged from.

    `merges`: how each pool enters; `gate` is g, and `over_all` says that it mixes the memory with all other pools, not
    with the context alone. Outputs that are added count alike. Heads that see one pool alone come last, and are told
    a gate of 0.
    """
    dense = parts["context"]
    assert dense is not None
    assert dense.weights is not None
    seen = wide(dense.weights.detach())
    here = torch.arange(seen.shape[2], device=seen.device)
    reach, entropy = (seen * (here[:, None] - context.offset)).sum(-1), torch.special.entr(seen).sum(-1)
    split = _split(parts, merges, gate, over_all)
    older = dense.weights[..., : context.cached].sum(-1)
    shares = {"local": split["context"] * (dense.weights.sum(-1) - older), "cache": split["context"] * older}
    shares |= {name: share for name, share in split.items() if name != "context"}
    total = sum(shares.values(), torch.zeros(())).clamp(min=1.0)
    shares = {name: share / total for name, share in shares.items()}
    for name, part in parts.items():
        if part is not None and merges.get(name) == "beside":
            others = torch.zeros_like(total)
            own = torch.ones_like(part.o[..., 0], dtype=total.dtype)
            shares = {other: torch.cat([share, torch.zeros_like(own)], dim=1) for other, share in shares.items()}
            shares[name] = torch.cat([others, own], dim=1)
            gate = None if gate is None else torch.cat([gate, gate.new_zeros(own.shape[1])])
            reach, entropy = (torch.cat([each, torch.zeros_like(own)], dim=1) for each in (reach, entropy))
    found = [_neighbours(read, parts[name]) for name, read in reads.items() if isinstance(read, Neighbours)]
    return LayerTrace(
        {name: share.detach() for name, share in shares.items()},
        None if gate is None else gate.detach(),
        found[0] if found else None,
        reach,
        entropy,
    )


def _split(
    parts: Mapping[str, Partial | None], merges: Mapping[str, Merge], gate: Float[Tensor, " h"] | None, over_all: bool
) -> dict[str, Float[Tensor, "b h t"]]:
    """The weight of each part in the heads that see the context, as `merge` gives it; added parts weigh 1 each."""
    pooled = {name: part for name, part in parts.items() if part is not None and merges.get(name, "joint") == "joint"}
    z = torch.stack([part.z for part in pooled.values() if part.z is not None], dim=-1)
    joint = torch.ones_like(z) if len(pooled) == 1 else torch.nan_to_num(z.softmax(-1))  # one alone is taken as it is
    split = dict(zip(pooled, joint.unbind(-1), strict=True))
    added = [name for name, part in parts.items() if part is not None and merges.get(name) == "added"]
    split |= {name: torch.ones_like(split["context"]) for name in added}
    for gated, memory in parts.items():
        if gate is not None and memory is not None and memory.z is not None and merges.get(gated) == "gated":
            g = torch.where(memory.z > -math.inf, gate[:, None], 0.0)
            weighed = split if over_all else {"context": split["context"]}
            split |= {name: share * (1 - g) for name, share in weighed.items()}
            split[gated] = g if over_all else weighed["context"] * g
    return split


def _neighbours(read: Neighbours, part: Partial | None) -> NeighbourTrace:
    assert part is not None
    assert part.weights is not None
    return NeighbourTrace(read.ids, read.places(), part.weights, wide(read.scores), read.valid)
