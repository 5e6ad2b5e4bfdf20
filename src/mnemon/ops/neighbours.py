import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from mnemon.ops.accelerated import accelerated, kernels
from mnemon.ops.kv import Neighbours, Partial, check_unwritten, wide

# Gathered entries of one tile. On a CPU they stay in a core's cache, in one place: 8192 queries, k 32, d 64,
# bfloat16, one core: 6 ms to gather and multiply, where 25 go by if it is done at once and into fresh pages.
TILE_BYTES = {"cpu": 1 << 20}
ELSEWHERE = 1 << 25


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
    and again in backward, so that no copy of k keys per query is ever held. On a GPU a kernel of our own does the same.
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
        gather, valid, flat = _flat(q, read)
        s = gather.products(read.keys, flat)
        s = s if softcap is None else softcap * (s / softcap).tanh()
        s = s if bias is None else s + bias.flatten(0, 2)
        if valid is not None:
            s = s.masked_fill(~valid, 0.0 if read.zeros else -math.inf)
        z = s.logsumexp(-1, keepdim=True)
        a = s.sub_(z.clamp(min=torch.finfo(z.dtype).min)).exp_()  # finite where nothing is found
        o = gather.sums(read.values, _kept(a, valid))
        # A cap's slope follows from the scores, which are computed again.
        ctx.save_for_backward(a, *(() if softcap is None else (q,)))
        ctx.read, ctx.shape, ctx.softcap = read, q.shape, softcap
        ctx.dtype, ctx.biased = flat.dtype, None if bias is None else bias.dtype
        ctx.set_materialize_grads(False)
        b, h, t, _d = q.shape
        weights = a.view(b, h, t, -1)
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
        gather, valid, flat = _flat(anchor, read)
        ds = torch.zeros_like(a)
        if do is not None:
            da = _kept(gather.products(read.values, do.reshape(-1, shape[-1]).to(flat.dtype)), valid)
            ds = a * (da - (a * da).sum(-1, keepdim=True))
        if dz is not None:
            ds = ds + a * dz.reshape(-1, 1)
        ds = _kept(ds, valid)
        dbias = None if ctx.biased is None else ds.to(ctx.biased).view(*shape[:3], -1)
        if ctx.softcap is not None:
            s = gather.products(read.keys, flat)
            ds = _kept(ds * (1 - (s / ctx.softcap).tanh().square()), valid)
        return gather.sums(read.keys, ds).view(shape), dbias, None, None


def _flat(q: Tensor, read: Neighbours) -> tuple["_Gather", Tensor | None, Tensor]:
    """Store entries as rows of one [s*h*m d] matrix: (their ids [q k], valid [q k] or None for all, queries [q d]).

    An unwritten slot may hold anything, so whatever is not valid is replaced by some entry that is, with weight 0.
    """
    h, m = read.keys.shape[1], read.keys.shape[2]
    first = (read.rows[:, None] * h + torch.arange(h, device=q.device)) * m  # b h
    flat = q.reshape(-1, q.shape[-1]).to(torch.promote_types(q.dtype, read.keys.dtype))
    if bool(read.valid.all()):
        return _Gather((read.ids + first[:, :, None, None]).flatten(0, 2), flat), None, flat
    ids, valid = (read.ids.clamp(0, m - 1) + first[:, :, None, None]).flatten(0, 2), read.valid.flatten(0, 2)
    ids = ids.where(valid, ids.flatten()[valid.flatten().int().argmax()])
    return _Gather(ids, flat, empty=not bool(valid.any())), valid, flat


def _kept(x: Tensor, valid: Tensor | None) -> Tensor:
    """`x` with zeros where no entry is valid: some other entry was gathered in its place."""
    return x if valid is None else x.masked_fill(~valid, 0.0)


class _Gather:
    """Each query's own entries, `ids` [q k] rows of all entries, in the dtype of `like` [q d].

    Entries come tile by tile into one place. `empty`: no id is one of an entry, so that nothing is read.
    """

    def __init__(self, ids: Tensor, like: Tensor, empty: bool = False):
        self.ids, self.dtype, self.empty = ids, like.dtype, empty
        tile = TILE_BYTES.get(like.device.type, ELSEWHERE)
        step = max(1, tile // max(1, ids.shape[-1] * like.shape[-1] * like.element_size()))
        self.tiles = [slice(start, start + step) for start in range(0, 0 if empty else len(ids), step)]

    def products(self, entries: Tensor, x: Tensor) -> Tensor:
        """x_q . entries[ids_qj] as [q k], in float32 at least."""
        products = wide(x.new_zeros(self.ids.shape) if self.empty else x.new_empty(self.ids.shape))
        for tile, found in self._gathered(entries):
            products[tile] = torch.bmm(x[tile].unsqueeze(1), found.mT).squeeze(1)
        return products

    def sums(self, entries: Tensor, weights: Tensor) -> Tensor:
        """sum_j weights_qj entries[ids_qj] as [q d]."""
        weights = weights.to(self.dtype)
        if entries.dtype == self.dtype and not self.empty:
            # Gathers and sums at once: 0.9 ms where the two took 2.6 (2048 queries, k 32, d 64, bfloat16, one core).
            return functional.embedding_bag(self.ids, entries.flatten(0, 2), per_sample_weights=weights, mode="sum")
        sums = weights.new_zeros(len(weights), entries.shape[-1])
        for tile, found in self._gathered(entries):
            sums[tile] = torch.bmm(weights[tile].unsqueeze(1), found).squeeze(1)
        return sums

    def _gathered(self, entries: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """The entries of each tile as [q k d]; what the next tile's are written over."""
        rows, room = entries.flatten(0, 2), None
        for tile in self.tiles:
            ids = self.ids[tile].flatten()
            room = rows.new_empty(len(ids), rows.shape[-1]) if room is None else room
            found = torch.index_select(rows, 0, ids, out=room[: len(ids)])
            yield tile, found.view(*self.ids[tile].shape, -1).to(self.dtype)
