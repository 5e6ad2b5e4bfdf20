import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from mnemon.ops.accelerated import accelerated, kernels
from mnemon.ops.kv import Neighbours, Partial, check_unwritten, wide

TILE_BYTES = 1 << 25  # gathered keys of one tile: 32 MiB stays near the last-level cache and bounds peak memory


def partial_neighbours(
    q: Float[Tensor, "b h t d"],
    read: Neighbours,
    bias: Float[Tensor, "b h t k"] | None = None,
    softcap: float | None = None,
) -> Partial:
    """Attention over each query's own retrieved entries, with its log-sum-exp.

    s_j = q . k_j;  z = log sum_j exp(s_j);  o = sum_j exp(s_j - z) v_j, over the k valid neighbours
    (arXiv 2203.08913, section 3.2). Keys and values are state: gradients reach q and `bias` alone, which is added to
    s after it was capped, s <- c tanh(s / c), where `softcap` c is given. Entries are gathered tile by tile, in forward
    and again in backward, so that no copy of k keys per query is ever kept. On a GPU a kernel of our own does the same.
    """
    if accelerated(q, read.keys, read.values):
        fused: Partial = kernels("mnemon.ops.triton_neighbours").attend_neighbours(q, read, bias, softcap)
        return fused
    o, z, a = _NeighbourAttention.apply(q, bias, read, softcap)  # type: ignore[no-untyped-call]  # no types in torch
    return Partial(o, z, a)


class _NeighbourAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, bias: Tensor | None, read: Neighbours, softcap: float | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        check_unwritten(read)
        ids, valid, flat = _flat(q, read)
        added = None if bias is None else bias.flatten(0, 2)
        width = ids.shape[-1]
        keys, values = read.keys.flatten(0, 2), read.values.flatten(0, 2)
        o = torch.zeros_like(flat)
        # What they are where nothing is valid.
        nothing, share = (math.log(width), 1 / width) if read.zeros else (-math.inf, 0.0)
        z, a = wide(flat.new_full(flat.shape[:1], nothing)), wide(flat.new_full(ids.shape, share))
        for tile in _tiles(flat, ids, valid):
            s = wide(torch.bmm(_gather(keys, ids[tile], flat.dtype), flat[tile].unsqueeze(-1)).squeeze(-1))
            s = s if softcap is None else softcap * (s / softcap).tanh()
            s = s if added is None else s + added[tile]
            if valid is not None:
                s = s.masked_fill(~valid[tile], 0.0 if read.zeros else -math.inf)
            peak = s.amax(-1, keepdim=True).clamp(min=torch.finfo(s.dtype).min)
            weights = (s - peak).exp()
            total = weights.sum(-1, keepdim=True)
            empty = total == 0
            total = total.masked_fill(empty, 1.0)
            weights = weights / total
            z[tile] = (total.log() + peak).masked_fill(empty, -math.inf).squeeze(-1)
            a[tile] = weights
            o[tile] = _weighted(values, ids[tile], _kept(weights, valid, tile), flat.dtype)
        # A cap's slope follows from the scores, which are computed again.
        ctx.save_for_backward(a, *(() if softcap is None else (q,)))
        ctx.read, ctx.shape, ctx.softcap = read, q.shape, softcap
        ctx.dtype, ctx.biased = flat.dtype, None if bias is None else bias.dtype
        ctx.set_materialize_grads(False)
        b, h, t, _d = q.shape
        weights = a.view(b, h, t, width)
        ctx.mark_non_differentiable(weights)
        return o.to(q.dtype).view(q.shape), z.view(b, h, t), weights

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, do: Tensor | None, dz: Tensor | None, _: Tensor | None
    ) -> tuple[Tensor, Tensor | None, None, None]:
        a, *saved = ctx.saved_tensors
        read: Neighbours = ctx.read
        check_unwritten(read)
        shape = ctx.shape
        anchor = saved[0] if saved else torch.empty(shape, dtype=ctx.dtype, device=a.device)
        ids, valid, flat = _flat(anchor, read)
        keys, values = read.keys.flatten(0, 2), read.values.flatten(0, 2)
        dq, dbias = torch.zeros_like(flat), None if ctx.biased is None else torch.zeros_like(a)
        grad_o = None if do is None else do.reshape(-1, shape[-1]).to(flat.dtype)
        grad_z = None if dz is None else dz.reshape(-1, 1)
        for tile in _tiles(flat, ids, valid):
            weights = a[tile]
            ds = torch.zeros_like(weights)
            if grad_o is not None:
                v = _gather(values, ids[tile], flat.dtype)
                da = _kept(wide(torch.bmm(v, grad_o[tile].unsqueeze(-1)).squeeze(-1)), valid, tile)
                ds = weights * (da - (weights * da).sum(-1, keepdim=True))
            if grad_z is not None:
                ds = ds + weights * grad_z[tile]
            if dbias is not None:
                dbias[tile] = _kept(ds, valid, tile)
            if ctx.softcap is not None:
                s = wide(torch.bmm(_gather(keys, ids[tile], flat.dtype), flat[tile].unsqueeze(-1)).squeeze(-1))
                ds = ds * (1 - (s / ctx.softcap).tanh().square())
            dq[tile] = _weighted(keys, ids[tile], _kept(ds, valid, tile), flat.dtype)
        shaped = None if dbias is None else dbias.to(ctx.biased).view(*shape[:3], -1)
        return dq.view(shape), shaped, None, None


def _flat(q: Tensor, read: Neighbours) -> tuple[Tensor, Tensor | None, Tensor]:
    """Store entries as rows of one [s*h*m d] matrix: (ids [q k], valid [q k] or None for all, queries [q d]).

    An unwritten slot may hold anything, so whatever is not valid is replaced by some entry that is, with weight 0.
    """
    h, m = read.keys.shape[1], read.keys.shape[2]
    first = (read.rows[:, None] * h + torch.arange(h, device=q.device)) * m  # b h
    ids = (read.ids.clamp(0, m - 1) + first[:, :, None, None]).flatten(0, 2)
    dtype = torch.promote_types(q.dtype, read.keys.dtype)
    flat = q.reshape(-1, q.shape[-1]).to(dtype)
    valid = read.valid.flatten(0, 2)
    if bool(valid.all()):
        return ids, None, flat
    return ids.where(valid, ids.flatten()[valid.flatten().int().argmax()]), valid, flat


def _tiles(flat: Tensor, ids: Tensor, valid: Tensor | None) -> list[slice]:
    """Slices of the queries; none where nothing is valid."""
    if valid is not None and not bool(valid.any()):
        return []
    step = max(1, TILE_BYTES // (ids.shape[-1] * flat.shape[-1] * flat.element_size()))
    return [slice(start, start + step) for start in range(0, flat.shape[0], step)]


def _kept(x: Tensor, valid: Tensor | None, tile: slice) -> Tensor:
    """`x` with zeros where no entry is valid: some other entry was gathered in its place."""
    return x if valid is None else x.masked_fill(~valid[tile], 0.0)


def _gather(entries: Tensor, ids: Tensor, dtype: torch.dtype) -> Tensor:
    """Rows `ids` of `entries` as [q k d]."""
    return entries.index_select(0, ids.flatten()).view(*ids.shape, -1).to(dtype)


def _weighted(entries: Tensor, ids: Tensor, weights: Tensor, dtype: torch.dtype) -> Tensor:
    """sum_j weights_j entries[ids_j] as [q d]."""
    if entries.dtype == dtype:
        # Gathers and sums at once: 0.9 ms where the two took 2.6 (2048 queries, k 32, d 64, bfloat16, one core).
        return functional.embedding_bag(ids, entries, per_sample_weights=weights.to(dtype), mode="sum")
    return torch.bmm(weights.to(dtype).unsqueeze(1), _gather(entries, ids, dtype)).squeeze(1)
