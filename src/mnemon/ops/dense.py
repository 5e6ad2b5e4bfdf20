import math
from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from mnemon.ops.kv import Partial, wide


def partial_dense(
    q: Float[Tensor, "b h t d"],
    k: Float[Tensor, "b h n d"],
    v: Float[Tensor, "b h n d"],
    bias: Float[Tensor, "#b #h t n"] | None = None,
    seen: Bool[Tensor, "#b #h t n"] | None = None,
    weight: Float[Tensor, "h t n"] | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
) -> Partial:
    """Attention over one pool, with its log-sum-exp: the reference every fast path is compared with.

    s = q k^T + bias;  z = log sum_n w exp(s);  o = (w exp(s - z)) v, over the keys that are `seen`; float32 at least.
    `softcap` c makes it s = c tanh(q k^T / c) + bias. `q` carries the scale; `weight` w in [0, 1] is the soft span mask
    of arXiv 1905.07799 eq. 2, a factor and not an additive log-mask, whose gradient is NaN at w = 0. Dropout acts on
    the normalised weights (1907.01470, code).
    """
    s = wide(q @ k.mT)  # b h t n
    if softcap is not None:
        s = softcap * (s / softcap).tanh()
    if bias is not None:
        s = s + bias
    if weight is not None:
        seen = weight > 0 if seen is None else seen & (weight > 0)
    if seen is not None:
        s = s.masked_fill(~seen, -math.inf)
    peak = s.detach().amax(-1, keepdim=True).clamp(min=torch.finfo(s.dtype).min)  # finite where nothing is seen
    a = (s - peak).exp()
    if weight is not None:
        a = a * weight
    total = a.sum(-1, keepdim=True)
    empty = total == 0
    total = total.masked_fill(empty, 1.0)
    z = (total.log() + peak).masked_fill(empty, -math.inf).squeeze(-1)
    a = a / total
    o = functional.dropout(a, dropout, training=dropout > 0).to(v.dtype) @ v
    return Partial(o, z, a)


def partial_shared(
    q: Float[Tensor, "b h t d"],
    k: Float[Tensor, "h n d"],
    v: Float[Tensor, "h n d"],
    dropout: float = 0.0,
) -> Partial:
    """`partial_dense` for keys that all rows share (persistent vectors), without a copy per row."""
    b = q.shape[0]
    folded = rearrange(q, "b h t d -> 1 h (b t) d")
    part = partial_dense(folded, k[None], v[None], dropout=dropout)

    def unfold(x: Tensor) -> Tensor:
        return rearrange(x[0], "h (b t) ... -> b h t ...", b=b)

    assert part.z is not None
    assert part.weights is not None
    return Partial(unfold(part.o), unfold(part.z), unfold(part.weights))


def partial_single(
    q: Float[Tensor, "b h t d"],
    k: Float[Tensor, "1 n hd"],
    v: Float[Tensor, "1 n hd"],
    dropout: float = 0.0,
) -> Partial:
    """`partial_shared` in one head as wide as all of `q`'s together ("single-head" in arXiv 1907.01470, ablation).

    s = [q_1 ... q_h] k^T / sqrt(h): where q_i carries 1/sqrt(d), the scale is that of width h d. The output is cut into
    heads again, which share z and weights.
    """
    h = q.shape[1]
    part = partial_shared(rearrange(q, "b h t d -> b 1 t (h d)") / math.sqrt(h), k, v, dropout)
    assert part.z is not None
    assert part.weights is not None
    o = rearrange(part.o, "b 1 t (h d) -> b h t d", h=h)
    return Partial(o, part.z.expand(-1, h, -1), part.weights.expand(-1, h, -1, -1))


def partial_pointwise(
    q: Float[Tensor, "b h t d"],
    k: Float[Tensor, "b h n d"],
    v: Float[Tensor, "b h n d"],
    activate: Callable[[Tensor], Tensor],
    bias: Float[Tensor, "#b #h t n"] | None = None,
) -> Partial:
    """o = act(q k^T + bias) v, with weights of their own each: what a feed-forward layer does, as attention.

    There is no z: weights that do not sum to one have no common log-sum-exp.
    """
    s = q @ k.mT
    a = activate(s if bias is None else s + bias)
    return Partial(a @ v, None, a)


def partial_fused(
    q: Float[Tensor, "b h t d"],
    k: Float[Tensor, "b h n d"],
    v: Float[Tensor, "b h n d"],
    bias: Float[Tensor, "#b #h t n"] | None = None,
    seen: Bool[Tensor, "#b #h t n"] | None = None,
    dropout: float = 0.0,
) -> Partial:
    """`partial_dense` through PyTorch's fused kernel, for pools that merge with nothing: it gives no z.

    Rows that see nothing would be NaN in some kernels: they attend to an arbitrary key and are zeroed afterwards.
    """
    empty = None
    mask = bias
    if seen is not None:
        empty = ~seen.any(-1, keepdim=True)
        kept = seen | empty
        mask = kept if bias is None else bias.masked_fill(~kept, -math.inf)
    if mask is not None and mask.is_floating_point():
        mask = mask.to(q.dtype)
    o = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=1.0)
    return Partial(o if empty is None else o.masked_fill(empty, 0.0), None)
