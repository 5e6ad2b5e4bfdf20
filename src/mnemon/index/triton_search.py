"""Exact search as two Triton kernels: the store is read once, and no score leaves the chip but those of candidates."""

import math
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int
from torch import Tensor

LANES = 128  # keys scored at once, and the lanes that they are dealt into
TILE = 64  # queries of a program; FEW where there are no more, as when a token is decoded
FEW = 16
MOST = 128  # neighbours that are found so, at most: as many as there are lanes
WIDEST = 256  # numbers of a key, at most: a tile of so many fits on the chip


def fits(keys: Float[Tensor, "*b h m d"], top_k: int) -> bool:
    """Whether `streamed_search` can answer; `exact_search` can always."""
    return 0 < top_k <= MOST and keys.shape[-1] <= WIDEST and keys.stride(-1) == 1


def streamed_search(
    queries: Float[Tensor, "*b h t d"],
    keys: Float[Tensor, "*b h m d"],
    top_k: int,
    valid: Bool[Tensor, "..."] | None = None,
) -> tuple[Float[Tensor, "*b h t k"], Int[Tensor, "*b h t k"]]:
    """`exact_search` on a GPU. Scores are products in the keys' dtype (float32 where queries have another), summed
    in float32, as tensor cores give them.

    A program streams over one part of the memory for a tile of queries. Key j of the part lies in lane j mod 128, and
    only each lane's best score is kept; the best k lanes of every part go to memory. An entry of the true top k lies in
    one of the k lanes of largest maximum, in its part and over all: otherwise k lanes would each hold something larger.
    So a second kernel scores the members of k lanes again, about k sqrt(m)/8 keys a query, and sorts those. This is
    exact for every input, without a bound that could fail, and asks nothing of the host. Two scores that differ by less
    than the rounding of a float32 sum may change places.
    """
    *lead, t, d = queries.shape
    m, heads = keys.shape[-2], (math.prod(lead[:-1]), lead[-1]) if lead else (1, 1)
    k = min(top_k, m)
    q, stored = (x.detach().reshape(*heads, -1, d) for x in (queries, keys))  # b h t d, b h m d
    scores, ids = q.new_empty(*heads, t, k, dtype=torch.float32), q.new_empty(*heads, t, k, dtype=torch.long)
    if scores.numel():
        turns, kept = _turns(m), max(triton.next_power_of_2(k), 2)
        parts = triton.cdiv(m, turns * LANES)
        best = q.new_empty(*heads, t, parts, kept, dtype=torch.long)
        given = (q, *q.stride()[:3], stored, *stored.stride()[:3], *_mask(valid, (*lead, t, m), (*heads, t, m)), best)
        widths = {"H": heads[1], "TURNS": turns, "LANES": LANES, "D": d, "DP": max(triton.next_power_of_2(d), 16)}
        tile, warps = (FEW, 4) if t <= FEW else (TILE, 8)
        grid = (triton.cdiv(t, tile), parts, math.prod(heads))
        # Triton's interpreter, on a CPU, cannot multiply bfloat16: in float32 the products are the same.
        widen = q.dtype != keys.dtype or not q.is_cuda
        wide, each = triton.next_power_of_2(parts * kept), (t, math.prod(heads))
        with torch.cuda.device_of(q):  # type: ignore[no-untyped-call]  # no types in torch
            _scan[grid](*given, t, m, **widths, KP=kept, TILE=tile, WIDEN=widen, num_warps=warps)
            _settle[each](*given, scores, ids, parts, m, **widths, K=k, KP=kept, WIDE=wide, num_warps=4)
    return scores.view(*lead, t, k), ids.view(*lead, t, k)


def _turns(m: int) -> int:
    """Keys of a lane: about sqrt(m/64), where sorting lanes and scoring their members again cost about the same.

    By count of operations: 160 m/turns for the sort of 128 lanes in a part, 330 turns for each lane scored again.
    """
    return max(4, 1 << (math.isqrt(m // 128) - 1).bit_length())


def _mask(valid: Tensor | None, shape: tuple[int, ...], cut: tuple[int, ...]) -> tuple[Tensor | int | None, ...]:
    """What may be seen, with its strides by row, head, query and key: 0 where all are alike, so that none is copied."""
    if valid is None:
        return None, *[0] * len(cut)
    seen = valid.expand(shape)
    seen = seen if len(shape) == len(cut) else seen.reshape(cut)
    return seen, *seen.stride()


# What follows is compiled for the GPU. Scores travel with what they belong to in one integer, which sorts as they do.


@triton.jit
@no_type_check
def _scan(
    q, q_row, q_head, q_query, keys, key_row, key_head, key_slot, valid, by_row, by_head, by_query, by_key, best, t, m,
    H: tl.constexpr, TURNS: tl.constexpr, LANES: tl.constexpr, D: tl.constexpr, DP: tl.constexpr,
    KP: tl.constexpr, TILE: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """The KP best lanes of one part of the memory, for a tile of queries of one head."""
    part, line = tl.program_id(1), tl.program_id(2)
    row, head = (line // H).to(tl.int64), (line % H).to(tl.int64)
    i, lane, c = tl.program_id(0) * TILE + tl.arange(0, TILE), tl.arange(0, LANES), tl.arange(0, DP)
    at = row * q_row + head * q_head + i[:, None] * q_query + c[None, :]
    asked = tl.load(q + at, mask=(i < t)[:, None] & (c < D)[None, :], other=0.0)
    if WIDEN:
        asked = asked.to(tl.float32)
    keys += row * key_row + head * key_head
    peak = tl.full([TILE, LANES], float("-inf"), tl.float32)
    for turn in range(TURNS):
        j = (part * TURNS + turn) * LANES + lane
        place = j.to(tl.int64)[:, None] * key_slot + c[None, :]
        k = tl.load(keys + place, mask=(j < m)[:, None] & (c < D)[None, :], other=0.0)
        if WIDEN:
            k = k.to(tl.float32)
        s = tl.dot(asked, tl.trans(k), input_precision="ieee")
        there = (i < t)[:, None] & (j < m)[None, :]
        if valid is not None:
            seen = row * by_row + head * by_head + i.to(tl.int64)[:, None] * by_query + j[None, :] * by_key
            there = tl.load(valid + seen, mask=there, other=0) != 0
        peak = tl.maximum(peak, tl.where(there, s, float("-inf")))
    top = tl.topk(_sortable(peak, part * LANES + lane[None, :]), KP)
    query = line.to(tl.int64) * t + i[:, None]
    tl.store(best + (query * tl.num_programs(1) + part) * KP + tl.arange(0, KP)[None, :], top, mask=(i < t)[:, None])


@triton.jit
@no_type_check
def _settle(
    q, q_row, q_head, q_query, keys, key_row, key_head, key_slot, valid, by_row, by_head, by_query, by_key,
    best, scores, ids, parts, m,
    H: tl.constexpr, TURNS: tl.constexpr, LANES: tl.constexpr, D: tl.constexpr, DP: tl.constexpr,
    K: tl.constexpr, KP: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The K best members of the KP best lanes of all parts, for one query."""
    i, line = tl.program_id(0), tl.program_id(1)
    row, head = (line // H).to(tl.int64), (line % H).to(tl.int64)
    lanes, c, each = tl.arange(0, WIDE), tl.arange(0, DP), tl.arange(0, TURNS)
    query = line.to(tl.int64) * tl.num_programs(0) + i
    found = tl.load(best + query * parts * KP + lanes, mask=lanes < parts * KP, other=-0x8000000000000000)
    found = tl.topk(found, KP)
    real, lane = found > -0x8000000000000000, (found & 0xFFFFFFFF)
    first = lane // LANES * (TURNS * LANES) + lane % LANES
    asked = tl.load(q + row * q_row + head * q_head + i * q_query + c, mask=c < D, other=0.0).to(tl.float32)
    keys += row * key_row + head * key_head
    members = tl.full([KP, TURNS], float("-inf"), tl.float32)
    for turn in range(TURNS):
        j = first + turn * LANES
        there = real & (j < m)
        if valid is not None:
            seen = row * by_row + head * by_head + i.to(tl.int64) * by_query + j * by_key
            there = tl.load(valid + seen, mask=there, other=0) != 0
        k = tl.load(keys + j[:, None] * key_slot + c[None, :], mask=there[:, None] & (c < D)[None, :], other=0.0)
        s = tl.where(there, tl.sum(k.to(tl.float32) * asked[None, :], axis=1), float("-inf"))
        members = tl.where(each[None, :] == turn, s[:, None], members)
    packed = _sortable(members, first[:, None] + each[None, :] * LANES)
    top = tl.topk(tl.reshape(packed, [KP * TURNS]), KP)
    ordered, place = (top >> 32).to(tl.int32), tl.arange(0, KP)
    s = (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)
    tl.store(scores + query * K + place, s.to(scores.dtype.element_ty), mask=place < K)
    tl.store(ids + query * K + place, tl.minimum(top & 0xFFFFFFFF, m - 1), mask=place < K)


@triton.jit
@no_type_check
def _sortable(s, number):
    """`number` below the bits of float32 `s`, in an integer of the order of `s`."""
    bits = s.to(tl.int32, bitcast=True)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.to(tl.int64) << 32) | number.to(tl.int64)
