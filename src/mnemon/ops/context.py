from jaxtyping import Float
from torch import Tensor

from mnemon.ops.accelerated import accelerated
from mnemon.ops.band import Band
from mnemon.ops.dense import partial_dense, partial_fused, partial_shared, partial_single
from mnemon.ops.flex import partial_flex
from mnemon.ops.kv import Common, Partial
from mnemon.ops.merge import joint
from mnemon.ops.window import partial_window

LEAST = 16  # queries from which on a block of them is worth the calls that it takes
SCORES = 1 << 14  # and scores of a head and row
LEARNED = 1 << 17  # and where there are learned keys alone, of which the reference makes one product for all rows
NARROWEST = 16  # numbers of a key, of which FlexAttention makes tiles


def partial_context(
    q: Float[Tensor, "b h t d"],
    k: Float[Tensor, "b h n d"],
    v: Float[Tensor, "b h n d"],
    band: Band,
    common: Common | None = None,
    dropout: float = 0.0,
    merges: bool = True,
    weights: bool = False,
) -> Partial:
    """Attention over the recent past, in one softmax with `common` keys where such are given.

    `merges`: z is wanted; `weights`: these, too. By the fastest path that can answer: `partial_window`, `partial_fused`
    or the reference, `partial_dense`; on a GPU `partial_flex` where z, common keys or a soft span are wanted.
    """
    t, n = q.shape[2], k.shape[2] + (0 if common is None else common.k.shape[1])
    alike = q.dtype == k.dtype == v.dtype and not weights and t >= LEAST
    whole = merges or common is not None or band.weight is not None
    if alike and whole and not dropout and q.shape[3] >= NARROWEST and accelerated(q, k, v):
        return partial_flex(q, k, v, band, common)
    blocked = q.device.type == "cpu" and t * n >= SCORES
    if blocked and alike and dropout < 1:
        return partial_window(q, k, v, band, common, merges, dropout=dropout)
    bias, seen, weight = band.spread(t, k.shape[2], q.device)
    if common is not None:
        own = partial_dense(q, k, v, bias, seen, weight, dropout)
        return joint([own, partial_shared(common.q, common.k.to(q.dtype), common.v.to(q.dtype), dropout)])
    if merges or weights or weight is not None:
        return partial_dense(q, k, v, bias, seen, weight, dropout)
    return partial_fused(q, k, v, bias, seen, dropout)


def partial_learned(
    q: Float[Tensor, "b h t d"],
    k: Float[Tensor, "g n x"],
    v: Float[Tensor, "g n x"],
    dropout: float = 0.0,
    weights: bool = False,
) -> Partial:
    """`partial_shared`, or `partial_single` where keys are wider than queries; `weights`: these are wanted.

    By `partial_window` over an empty past where that is the faster.
    """
    if k.shape[-1] != q.shape[-1]:
        return partial_single(q, k, v, dropout)
    alike = q.dtype == k.dtype == v.dtype and not weights and dropout < 1
    if alike and q.device.type == "cpu" and q.shape[2] >= LEAST and q.shape[2] * k.shape[1] >= LEARNED:
        none = q[:, :, :0].detach()
        return partial_window(q, none, none, Band(1, 1), Common(q, k, v), dropout=dropout)
    return partial_shared(q, k, v, dropout)
