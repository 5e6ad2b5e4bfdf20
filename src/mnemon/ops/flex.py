"""The recent past and common keys on a GPU, by PyTorch's FlexAttention: scores never leave the chip."""

from functools import cache
from typing import Any, no_type_check

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention.flex_attention import AuxRequest, BlockMask, flex_attention

from mnemon.ops.band import Band
from mnemon.ops.kv import Common, Partial
from mnemon.ops.merge import joint
from mnemon.ops.window import added

BLOCK = 128  # queries and keys of a block, of which none is visited that the band leaves out


def partial_flex(
    q: Float[Tensor, "b h t d"],
    k: Float[Tensor, "b h n d"],
    v: Float[Tensor, "b h n d"],
    band: Band,
    common: Common | None = None,
) -> Partial:
    """The joint merge of `partial_dense` over the band and `partial_shared`, with z, forward and backward.

    The band is a block mask, its bias and soft span a score modifier; common keys have neither, and rows that share
    them are asked in one line, so that none is copied. The two merge by the log-sum-exps that FlexAttention gives,
    which carry gradients. Compiled on a GPU, at the first call for a shape; elsewhere it is PyTorch's reference.
    """
    attend = _compiled() if q.is_cuda else _attend
    own = Partial(*attend(q, k, v, added(band), band.valid, band.first, band.last))
    if common is None:
        return own
    line = rearrange(common.q, "b h t d -> 1 h (b t) d")
    o, z = attend(line, common.k[None], common.v[None], None, None, None, None)
    b = q.shape[0]
    of_all = rearrange(o, "1 h (b t) d -> b h t d", b=b), rearrange(z, "1 h (b t) -> b h t", b=b)
    return joint([own, Partial(*of_all)])


@cache
def _compiled() -> Any:
    return torch.compile(_attend, fullgraph=True)


@no_type_check  # a score modifier is traced, which a check of types in it would prevent
def _attend(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, valid: Tensor | None, first: int | None, last: int | None
) -> tuple[Tensor, Tensor]:
    """(o, z) over the keys at distances `first` to `last`; without these over all."""
    t, n = q.shape[2], k.shape[2]
    if first is None or last is None:
        o, found = flex_attention(q, k, v, scale=1.0, return_aux=AuxRequest(lse=True))
        return o, found.lse
    begin, end = first, last
    rows, heads, queries = (False, False, False) if bias is None else (size > 1 for size in bias.shape[:3])

    def seen(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        distance = i - j + (n - t)
        within = (distance >= begin) & (distance <= end)
        return within if valid is None else within & valid[b, j]

    def biased(s: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        assert bias is not None
        column = (end - (i - j + (n - t))).clamp(0, end - begin)
        return s + bias[b if rows else 0, h if heads else 0, i if queries else 0, column]

    blocks = _blocks(t, n, begin, end, q.device)
    mask = BlockMask.from_kv_blocks(*blocks, BLOCK_SIZE=BLOCK, mask_mod=seen, seq_lengths=(t, n))
    modify = None if bias is None else biased
    o, found = flex_attention(q, k, v, modify, mask, scale=1.0, return_aux=AuxRequest(lse=True))
    return o, found.lse


def _blocks(t: int, n: int, first: int, last: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(number of blocks of keys, their numbers) for each block of queries: those that some query may see, in a line."""
    width = -(-n // BLOCK)
    begin = torch.arange(0, t, BLOCK, device=device)
    lowest = (begin + (n - t - last)).clamp(min=0) // BLOCK
    highest = (
        ((begin + BLOCK).clamp(max=t) - 1 + (n - t - first)).div(BLOCK, rounding_mode="floor").clamp(max=width - 1)
    )
    numbers = (lowest[:, None] + torch.arange(width, device=device)) % width
    return (highest - lowest + 1).clamp(min=0)[None, None].int(), numbers[None, None].int()
