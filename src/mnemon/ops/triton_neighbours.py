"""Attention over retrieved entries as two Triton kernels: entries are gathered into registers and never laid out."""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from mnemon.ops.kv import Neighbours, Partial, check_unwritten, wide


def attend_neighbours(
    q: Float[Tensor, "b h t d"],
    read: Neighbours,
    bias: Float[Tensor, "b h t k"] | None = None,
    softcap: float | None = None,
) -> Partial:
    """`partial_neighbours` on a GPU: one program a query reads its k keys and values once, in forward and backward.

    Bytes moved are those of the entries and nothing else of that size: 2 k d a query in forward and in backward. Unlike
    the reference it asks nothing of the host, so that it can stand in a CUDA graph.
    """
    return Partial(*_Attend.apply(q, bias, read, softcap))  # type: ignore[no-untyped-call]  # no types in torch


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, bias: Tensor | None, read: Neighbours, softcap: float | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        check_unwritten(read)
        q = q.contiguous()
        exact = torch.promote_types(wide(q).dtype, wide(read.keys).dtype)
        o, z = torch.empty_like(q), q.new_empty(q.shape[:3], dtype=exact)
        a = q.new_empty(read.ids.shape, dtype=exact)
        found = tuple(x.contiguous() for x in (read.ids, read.valid, read.rows))
        added = None if bias is None else bias.contiguous()
        _launch(_forward, read, softcap, (q, *_entries(read), *found, added, o, z, a), ZEROS=read.zeros)
        ctx.save_for_backward(q, a, *found)
        ctx.read, ctx.softcap, ctx.biased = read, softcap, None if bias is None else bias.dtype
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(a)
        return o, z, a

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, do: Tensor | None, dz: Tensor | None, _: Tensor | None
    ) -> tuple[Tensor, Tensor | None, None, None]:
        q, a, *found = ctx.saved_tensors
        read: Neighbours = ctx.read
        check_unwritten(read)
        dq = torch.empty_like(q)
        dbias = None if ctx.biased is None else torch.empty_like(a, dtype=ctx.biased)
        grads = (None if x is None else x.contiguous() for x in (do, dz))
        _launch(_backward, read, ctx.softcap, (q, *_entries(read), *found, a, *grads, dq, dbias))
        return dq, dbias, None, None


def _entries(read: Neighbours) -> tuple[Any, ...]:
    """Keys and values with their strides: a store's row, head and slot."""
    if read.keys.stride(3) != 1 or read.values.stride(3) != 1:
        raise ValueError("the numbers of an entry must lie side by side: give a store with a contiguous last axis")
    return (read.keys, *read.keys.stride()[:3], read.values, *read.values.stride()[:3], read.keys.shape[2])


def _launch(kernel: Any, read: Neighbours, softcap: float | None, given: tuple[Any, ...], **constants: bool) -> None:
    """One program a query."""
    b, h, t, k = read.ids.shape
    d = read.keys.shape[3]
    widths = {"K": k, "D": d, "KP": triton.next_power_of_2(max(k, 1)), "DP": triton.next_power_of_2(d)}
    if b * h * t:
        capped = softcap is not None
        with torch.cuda.device_of(read.ids):  # type: ignore[no-untyped-call]  # no types in torch
            kernel[(t, h, b)](*given, softcap if capped else 1.0, CAPPED=capped, **widths, **constants, num_warps=2)


# What follows is compiled for the GPU. b h t d of the query and k of its neighbours; KP, DP: the next powers of two.


@triton.jit
@no_type_check
def _forward(
    q, keys, key_row, key_head, key_slot, values, value_row, value_head, value_slot, m,
    ids, valid, rows, bias, o, z, a, softcap,
    CAPPED: tl.constexpr, K: tl.constexpr, D: tl.constexpr, KP: tl.constexpr, DP: tl.constexpr, ZEROS: tl.constexpr,
):  # fmt: skip
    exact = z.dtype.element_ty
    query, place, found, there, row = _found(ids, valid, rows, m, K, KP)
    line, j, c = query * D, tl.arange(0, KP), tl.arange(0, DP)
    asked = tl.load(q + line + c, mask=c < D, other=0.0).to(exact)
    k = _entries_of(keys, key_row, key_head, key_slot, row, found, there, c, D).to(exact)
    s, _slope = _scores(asked, k, softcap, CAPPED)
    if bias is not None:
        s += tl.load(bias + place, mask=there, other=0.0).to(exact)
    s = tl.where(there, s, 0.0 if ZEROS else float("-inf"))
    s = tl.where(j < K, s, float("-inf"))
    peak = tl.max(s, axis=0)
    peak = tl.where(peak == float("-inf"), 0.0, peak)
    e = tl.exp(s - peak)
    total = tl.sum(e, axis=0)
    share = e / tl.where(total == 0, 1.0, total)
    v = _entries_of(values, value_row, value_head, value_slot, row, found, there, c, D).to(exact)
    tl.store(o + line + c, tl.sum(share[:, None] * v, axis=0).to(o.dtype.element_ty), mask=c < D)
    tl.store(z + query, tl.where(total == 0, float("-inf"), tl.log(tl.where(total == 0, 1.0, total)) + peak))
    tl.store(a + place, share, mask=j < K)


@triton.jit
@no_type_check
def _backward(
    q, keys, key_row, key_head, key_slot, values, value_row, value_head, value_slot, m,
    ids, valid, rows, a, do, dz, dq, dbias, softcap,
    CAPPED: tl.constexpr, K: tl.constexpr, D: tl.constexpr, KP: tl.constexpr, DP: tl.constexpr,
):  # fmt: skip
    exact = a.dtype.element_ty
    query, place, found, there, row = _found(ids, valid, rows, m, K, KP)
    line, j, c = query * D, tl.arange(0, KP), tl.arange(0, DP)
    share = tl.load(a + place, mask=j < K, other=0.0)
    ds = tl.zeros([KP], exact)
    if do is not None:
        v = _entries_of(values, value_row, value_head, value_slot, row, found, there, c, D).to(exact)
        da = tl.sum(v * tl.load(do + line + c, mask=c < D, other=0.0).to(exact)[None, :], axis=1)
        ds += share * (da - tl.sum(share * da, axis=0))
    if dz is not None:
        ds += share * tl.load(dz + query).to(exact)
    ds = tl.where(there, ds, 0.0)
    if dbias is not None:
        tl.store(dbias + place, ds.to(dbias.dtype.element_ty), mask=j < K)
    k = _entries_of(keys, key_row, key_head, key_slot, row, found, there, c, D).to(exact)
    if CAPPED:
        asked = tl.load(q + line + c, mask=c < D, other=0.0).to(exact)
        _s, slope = _scores(asked, k, softcap, CAPPED)
        ds *= slope
    tl.store(dq + line + c, tl.sum(ds[:, None] * k, axis=0).to(dq.dtype.element_ty), mask=c < D)


@triton.jit
@no_type_check
def _found(ids, valid, rows, m, K: tl.constexpr, KP: tl.constexpr):
    """(number of the query, places of its neighbours, their ids, which are there, its row of the store)."""
    head = tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)
    query = head.to(tl.int64) * tl.num_programs(0) + tl.program_id(0)
    j = tl.arange(0, KP)
    place = query * K + j
    there = tl.load(valid + place, mask=j < K, other=0) != 0
    found = tl.load(ids + place, mask=there, other=0)
    return query, place, tl.minimum(tl.maximum(found, 0), m - 1), there, tl.load(rows + tl.program_id(2))


@triton.jit
@no_type_check
def _entries_of(store, by_row, by_head, by_slot, row, found, there, c, D: tl.constexpr):
    """The entries [KP DP] that were found, zeros where there is none: an unwritten slot may hold anything."""
    first = row * by_row + tl.program_id(1).to(tl.int64) * by_head
    place = first + found[:, None] * by_slot + c[None, :]
    return tl.load(store + place, mask=there[:, None] & (c < D)[None, :], other=0.0)


@triton.jit
@no_type_check
def _scores(asked, k, softcap, CAPPED: tl.constexpr):
    """s_j = q . k_j, capped, and its slope by the uncapped score."""
    s = tl.sum(asked[None, :] * k, axis=1)
    slope = s * 0.0 + 1.0
    if CAPPED:
        bent = 1.0 - 2.0 / (tl.exp(2.0 * s / softcap) + 1.0)  # tanh(s / c)
        s, slope = softcap * bent, 1.0 - bent * bent
    return s, slope
