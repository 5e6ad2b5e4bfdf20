from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.ops import Hidden, Shared

Project = Callable[[Float[Tensor, "b n e"]], tuple[Float[Tensor, "b h n d"], Float[Tensor, "b h n d"]]]


@dataclass(frozen=True)
class Context:
    """Keys and values of the recent past, oldest first: `cached` older ones, then the segment with its begun part."""

    k: Float[Tensor, "b h n d"]
    v: Float[Tensor, "b h n d"]
    offset: Int[Tensor, " n"]
    valid: Bool[Tensor, "b n"] | None
    cached: int


def assemble(local: Hidden, cache: Hidden | Shared | None, project: Project, reach: int) -> Context:
    """The cache, trimmed to `reach` tokens before the segment, and the segment, side by side.

    Hidden states of both go through the projections in one product, so that gradients of both reach the weights;
    cached keys and values are taken as they are.
    """
    if cache is not None and cache.offset is not None:
        cache = _last(cache, min(len(cache.offset), reach))
    if cache is None or cache.offset is None:
        k, v = project(local.h)
        return Context(k, v, local.offset, local.valid, 0)
    if isinstance(cache, Hidden):
        k, v = project(torch.cat([cache.h.to(local.h), local.h], dim=1))
    else:
        k, v = project(local.h)
        k, v = torch.cat([cache.k.to(k), k], dim=2), torch.cat([cache.v.to(v), v], dim=2)
    return Context(k, v, torch.cat([cache.offset, local.offset]), _valid(cache, local), len(cache.offset))


def _last(read: Hidden | Shared, keep: int) -> Hidden | Shared:
    assert read.offset is not None
    cut = slice(len(read.offset) - keep, None)
    valid = None if read.valid is None else read.valid[:, cut]
    if isinstance(read, Hidden):
        return Hidden(read.h[:, cut], read.offset[cut], valid)
    return Shared(read.k[:, :, cut], read.v[:, :, cut], read.offset[cut], valid)


def _valid(cache: Hidden | Shared, local: Hidden) -> Bool[Tensor, "b n"] | None:
    if cache.valid is None and local.valid is None:
        return None
    rows = local.h.shape[0]
    parts = [
        read.valid if read.valid is not None else torch.ones(rows, len(offset), dtype=torch.bool, device=local.h.device)
        for read, offset in ((cache, cache.offset), (local, local.offset))
        if offset is not None
    ]
    return torch.cat(parts, dim=1)
