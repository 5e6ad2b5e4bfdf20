import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from mnemon.ops.kv import Neighbours, Partial, wide, write_count

TILE_BYTES = 1 << 25  # gathered keys of one tile: 32 MiB stays near the last-level cache and bounds peak memory


def partial_neighbours(q: Float[Tensor, "b h t d"], read: Neighbours) -> Partial:
    """Attention over each query's own retrieved entries, with its log-sum-exp.

    s_j = q . k_j;  z = log sum_j exp(s_j);  o = sum_j exp(s_j - z) v_j, over the k valid neighbours
    (arXiv 2203.08913, section 3.2). Keys and values are state: gradients reach q alone. Entries are gathered tile by
    tile, in forward and again in backward, so that no copy of k keys per query is ever kept.
    """
    o, z, a = _NeighbourAttention.apply(q, read)  # type: ignore[no-untyped-call]  # torch has no types for it
    return Partial(o, z, a)


class _NeighbourAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, read: Neighbours) -> tuple[Tensor, Tensor, Tensor]:
        _check_unwritten(read)
        ids, valid, flat = _flat(q, read)
        width = ids.shape[-1]
        keys, values = read.keys.flatten(0, 2), read.values.flatten(0, 2)
        o = torch.empty_like(flat)
        z, a = wide(flat.new_empty(flat.shape[0])), wide(flat.new_empty(ids.shape))
        for tile in _tiles(flat, width):
            s = wide(torch.bmm(_gather(keys, ids[tile], flat.dtype), flat[tile].unsqueeze(-1)).squeeze(-1))
            if valid is not None:
                s = s.masked_fill(~valid[tile], -math.inf)
            peak = s.amax(-1, keepdim=True).clamp(min=torch.finfo(s.dtype).min)
            weights = (s - peak).exp()
            total = weights.sum(-1, keepdim=True)
            empty = total == 0
            total = total.masked_fill(empty, 1.0)
            weights = weights / total
            z[tile] = (total.log() + peak).masked_fill(empty, -math.inf).squeeze(-1)
            a[tile] = weights
            v = _gather(values, ids[tile], flat.dtype, _part(valid, tile))
            o[tile] = torch.bmm(weights.to(v.dtype).unsqueeze(1), v).squeeze(1)
        ctx.save_for_backward(a)
        ctx.read, ctx.shape = read, q.shape
        ctx.dtype = flat.dtype
        ctx.set_materialize_grads(False)
        b, h, t, _d = q.shape
        weights = a.view(b, h, t, width)
        ctx.mark_non_differentiable(weights)
        return o.to(q.dtype).view(q.shape), z.view(b, h, t), weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, do: Tensor | None, dz: Tensor | None, _: Tensor | None) -> tuple[Tensor, None]:
        (a,) = ctx.saved_tensors
        read: Neighbours = ctx.read
        _check_unwritten(read)
        shape = ctx.shape
        anchor = torch.empty(shape, dtype=ctx.dtype, device=a.device)
        ids, valid, flat = _flat(anchor, read)
        keys, values = read.keys.flatten(0, 2), read.values.flatten(0, 2)
        dq = torch.empty_like(flat)
        grad_o = None if do is None else do.reshape(-1, shape[-1]).to(flat.dtype)
        grad_z = None if dz is None else dz.reshape(-1, 1)
        for tile in _tiles(flat, ids.shape[-1]):
            weights = a[tile]
            ds = torch.zeros_like(weights)
            if grad_o is not None:
                v = _gather(values, ids[tile], flat.dtype, _part(valid, tile))
                da = wide(torch.bmm(v, grad_o[tile].unsqueeze(-1)).squeeze(-1))
                ds = weights * (da - (weights * da).sum(-1, keepdim=True))
            if grad_z is not None:
                ds = ds + weights * grad_z[tile]
            k = _gather(keys, ids[tile], flat.dtype, _part(valid, tile))
            dq[tile] = torch.bmm(ds.to(k.dtype).unsqueeze(1), k).squeeze(1)
        return dq.view(shape), None


def _check_unwritten(read: Neighbours) -> None:
    if write_count(read.keys) != read.version:
        raise RuntimeError(
            "the memory was written between search and use: commit the update of a segment after its backward"
        )


def _flat(q: Tensor, read: Neighbours) -> tuple[Tensor, Tensor | None, Tensor]:
    """Store entries as rows of one [s*h*m d] matrix: (ids [q k], valid [q k] or None for all, queries [q d])."""
    h, m = read.keys.shape[1], read.keys.shape[2]
    first = (read.rows[:, None] * h + torch.arange(h, device=q.device)) * m  # b h
    ids = read.ids.clamp(0, m - 1) + first[:, :, None, None]
    dtype = torch.promote_types(q.dtype, read.keys.dtype)
    valid = None if bool(read.valid.all()) else read.valid.flatten(0, 2)
    return ids.flatten(0, 2), valid, q.reshape(-1, q.shape[-1]).to(dtype)


def _tiles(flat: Tensor, width: int) -> list[slice]:
    step = max(1, TILE_BYTES // (width * flat.shape[-1] * flat.element_size()))
    return [slice(start, start + step) for start in range(0, flat.shape[0], step)]


def _gather(entries: Tensor, ids: Tensor, dtype: torch.dtype, valid: Tensor | None = None) -> Tensor:
    """Rows `ids` of `entries` as [q k d]; invalid ones zeroed, for an unwritten slot may hold anything."""
    rows = entries.index_select(0, ids.flatten()).view(*ids.shape, -1).to(dtype)
    return rows if valid is None else rows.masked_fill_(~valid.unsqueeze(-1), 0.0)


def _part(valid: Tensor | None, tile: slice) -> Tensor | None:
    return None if valid is None else valid[tile]
