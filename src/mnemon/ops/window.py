import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from mnemon.ops.band import Band
from mnemon.ops.blocks import Plan, gather_, mask
from mnemon.ops.dropout import drop_, rate
from mnemon.ops.kv import Common, Partial, wide

BLOCK = 256  # queries of a block: their scores stay near the last-level cache, and products keep their full rate


def partial_window(
    q: Float[Tensor, "b h t d"],
    k: Float[Tensor, "b h n d"],
    v: Float[Tensor, "b h n d"],
    band: Band,
    common: Common | None = None,
    merges: bool = True,
    block: int = BLOCK,
    dropout: float = 0.0,
) -> Partial:
    """One softmax over the keys in `band` and, where given, the `common` ones.

    The joint merge of `partial_dense` over the band and `partial_shared`, without their intermediate results: a block
    of queries meets only the keys that one of them may see, every weight is normalised once by the log-sum-exp of all,
    common keys are never copied, and backward reads the weights again. Without `merges` there is no z, and scores in
    the inputs' dtype are rounded once, bias included; with it they are as in `partial_dense`. `dropout` p acts on the
    normalised weights; p is rounded to a multiple of 1/65536.
    """
    none = k[0, :, :0].detach()
    keys, values = (none, none) if common is None else (common.k, common.v)
    asks = None if common is None or common.q is q else common.q
    inputs = (q, k, v, added(band), asks, keys, values)
    learns = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
    plan = Plan(band, q.shape[2], k.shape[2], min(block, q.shape[2]), merges, learns, dropout)
    o, z = _Window.apply(*inputs, plan)  # type: ignore[no-untyped-call]  # no types in torch
    return Partial(o, z if merges else None)


def added(band: Band) -> Float[Tensor, "#b #h #t x"] | None:
    """bias + log w, at least in float32 where there is a w; -inf where w = 0, through which no gradient flows."""
    if band.weight is None:
        return band.bias
    there = band.weight > 0
    log = wide(band.weight.where(there, 1.0)).log().where(there, -math.inf)[:, None]  # h 1 x
    return log[None] if band.bias is None else log + band.bias


class _Window(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0913  # a gradient each
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        added: Tensor | None,
        asks: Tensor | None,
        keys: Tensor,
        values: Tensor,
        plan: Plan,
    ) -> tuple[Tensor, Tensor]:
        ctx.dtypes = keys.dtype, values.dtype
        keys, values = keys.to(q.dtype), values.to(q.dtype)
        o, z = torch.empty_like(q, memory_format=torch.contiguous_format), wide(q.new_empty(q.shape[:3]))
        like, ask = z if plan.merges else q, q if asks is None else asks
        kept: list[Tensor] = []
        with torch.autocast(q.device.type, enabled=False):
            for h in range(q.shape[1]):
                added_to: Tensor | None = None
                for block in plan.blocks(h, q.shape[0]):
                    added_to = mask(added_to, added, block, plan, like)
                    s = like.new_empty(len(added_to), block.keys.stop - block.keys.start + keys.shape[1])
                    near, shared = _split(s, keys)
                    _product(q[block.asked], k[block.read], near, added_to[:, block.columns])
                    if plan.band.valid is not None:
                        near.masked_fill_(~plan.band.valid[block.b, block.keys], -math.inf)
                    _product(ask[block.asked], keys[h], shared)
                    blank = plan.blank(block) and not keys.shape[1]
                    a = _softmax_(s, z[block.asked] if plan.merges else None, blank).to(q.dtype)
                    if plan.dropout:
                        drop_(a, plan.dropout)
                    near, shared = _split(a.relu() if plan.dropout else a, keys)
                    torch.mm(near, v[block.read], out=o[block.asked])
                    o[block.asked].addmm_(shared, values[h])
                    kept += [a] * plan.learns
        if plan.dropout:
            o /= 1 - rate(plan.dropout)
        ctx.plan, ctx.given = plan, (added is not None, asks is not None)
        ctx.save_for_backward(q, k, v, keys, values, *(x for x in (added, asks) if x is not None), *kept)
        ctx.set_materialize_grads(False)
        return o, z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, do: Tensor | None, dz: Tensor | None) -> tuple[Tensor | None, ...]:
        q, k, v, keys, values, *kept = ctx.saved_tensors
        plan: Plan = ctx.plan
        added, asks = (kept.pop(0) if given else None for given in ctx.given)
        do = torch.zeros_like(q) if do is None else do / (1 - rate(plan.dropout)) if plan.dropout else do
        dq, dask = (torch.empty_like(q, memory_format=torch.contiguous_format) for _ in range(2))
        dk, dv = torch.empty_like(k), torch.empty_like(v)
        dkeys, dvalues = (torch.empty_like(x, dtype=dtype) for x, dtype in zip((keys, values), ctx.dtypes, strict=True))
        dadded = None if added is None or not ctx.needs_input_grad[3] else torch.zeros_like(wide(added))
        # Summed over blocks and rows: in float32 at least, whatever the inputs are.
        sums = [wide(x.new_empty(x.shape[-2:])) for x in (k, v, keys, values)]
        ds: Tensor | None = None
        with torch.autocast(q.device.type, enabled=False):
            for h in range(q.shape[1]):
                for total in sums[2:]:
                    total.zero_()
                for block in plan.blocks(h, q.shape[0]):
                    a, asked, read = kept.pop(0), block.asked, block.read
                    if not block.queries.start:
                        for total in sums[:2]:
                            total.zero_()
                    ds = _slope(do[asked], v[read], values[h], a, None if dz is None else dz[asked], ds, plan.dropout)
                    (near, shared), (a_near, a_shared) = _split(ds, keys), _split(a.relu() if plan.dropout else a, keys)
                    torch.mm(near, k[read], out=dq[asked])
                    torch.mm(shared, keys[h], out=dask[asked])
                    sums[0][block.keys] += near.T @ q[asked]
                    sums[1][block.keys] += a_near.T @ do[asked]
                    sums[2] += shared.T @ (q if asks is None else asks)[asked]
                    sums[3] += a_shared.T @ do[asked]
                    if dadded is not None:
                        gather_(dadded, near, block, plan)
                    if block.queries.stop == plan.t:
                        dk[block.b, h], dv[block.b, h] = sums[:2]
                dkeys[h], dvalues[h] = sums[2:]
        if asks is None:
            dq += dask
        return (
            dq,
            dk,
            dv,
            None if dadded is None or added is None else dadded.to(added.dtype),
            None if asks is None else dask,
            dkeys,
            dvalues,
            None,
        )


def _split(x: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """The columns of the band's keys, and those of the shared keys."""
    near = x.shape[1] - keys.shape[1]
    return x[:, :near], x[:, near:]


def _product(q: Tensor, k: Tensor, out: Tensor, base: Tensor | None = None) -> None:
    """out = q k^T + base; where `out` is wider than the inputs, their product is rounded before `base` is added."""
    if out.dtype != q.dtype:
        out.copy_(q @ k.T)
        if base is not None:
            out += base
    elif base is None:
        torch.mm(q, k.T, out=out)
    else:
        torch.addmm(base, q, k.T, out=out)


def _softmax_(s: Tensor, z: Tensor | None, blank: bool) -> Tensor:
    """softmax(s) in place of s, and logsumexp(s) into `z`; rows of -inf alone, if there may be such, become 0."""
    if z is None and not blank:
        return torch.softmax(s, -1, out=s)
    if not s.shape[1]:
        if z is not None:
            z.fill_(-math.inf)
        return s
    peak = s.amax(-1)
    torch.softmax(s, -1, out=s)
    empty = peak == -math.inf
    if blank:
        s.masked_fill_(empty[:, None], 0.0)
    if z is not None:  # the largest weight is exp(peak - z)
        z.copy_((peak - s.amax(-1).log()).masked_fill_(empty, -math.inf))
    return s


def _slope(
    do: Tensor, v: Tensor, values: Tensor, a: Tensor, dz: Tensor | None, room: Tensor | None, dropout: float
) -> Tensor:
    """ds = a (da - sum a da + dz) of a block, where da = do v^T, 0 where a is dropped; in `room`, if of that shape."""
    ds = torch.empty_like(a) if room is None or room.shape != a.shape else room
    near, shared = ds[:, : len(v)], ds[:, len(v) :]
    torch.mm(do, v.T, out=near)
    torch.mm(do, values.T, out=shared)
    if dropout:
        torch.ops.aten.threshold_backward.grad_input(ds, a, 0, grad_input=ds)
        a = a.abs()
    torch.ops.aten._softmax_backward_data.out(ds, a, -1, a.dtype, grad_input=ds)
    return ds if dz is None else ds.addcmul_(a, dz[:, None].to(a.dtype))
