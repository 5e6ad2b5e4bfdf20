import math

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor

from mnemon.ops.dense import partial_dense
from mnemon.ops.kv import Partial

LEAST = 32  # queries from which on the fused kernel is the faster


def partial_grouped(
    q: Float[Tensor, "b h t d"],
    k: Float[Tensor, "b g n d"],
    v: Float[Tensor, "b g n d"],
    bias: Float[Tensor, "#b #h t n"] | None = None,
    seen: Bool[Tensor, "#b #h t n"] | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
) -> Partial:
    """`partial_dense` for h query heads on g key/value heads, h/g in a row on each; without the weights.

    On a CPU, where no gradient is taken, PyTorch's fused kernel answers, faster and without the matrix of scores. Its
    log-sum-exp carries no gradient, so that a merge through it would have a wrong one.
    """
    inputs = [x for x in (q, k, v, bias) if x is not None]
    learns = torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    plain = softcap is None and dropout == 0.0 and q.shape[-1] == v.shape[-1]
    if q.device.type == "cpu" and plain and not learns and q.shape[2] >= LEAST:
        return _fused(q, k, v, bias, seen)
    g = k.shape[1]
    line = rearrange(q, "b (g j) t d -> b g (j t) d", g=g)
    bias, seen = (_folded(x, q.shape[1], g) for x in (bias, seen))
    part = partial_dense(line, k, v, bias, seen, dropout=dropout, softcap=softcap)
    assert part.z is not None
    t = q.shape[2]
    o = rearrange(part.o, "b g (j t) d -> b (g j) t d", t=t)
    return Partial(o, rearrange(part.z, "b g (j t) -> b (g j) t", t=t))


def _folded(x: Tensor | None, h: int, g: int) -> Tensor | None:
    """A mask or bias for queries of a group in one line."""
    if x is None:
        return None
    if x.shape[1] == 1:
        return repeat(x, "b 1 t n -> b 1 (j t) n", j=h // g)
    return rearrange(x, "b (g j) t n -> b g (j t) n", g=g)


def _fused(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, seen: Tensor | None) -> Partial:
    """By PyTorch's kernel, which gives o = 0 and z = 0 where nothing is seen."""
    j, mask = q.shape[1] // k.shape[1], bias
    if seen is not None:
        mask = (q.new_zeros(()) if bias is None else bias).masked_fill(~seen, -math.inf)
    dtype = q.dtype
    k, v = (x.repeat_interleave(j, dim=1) if j > 1 else x for x in (k, v))
    o, z = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q, k.to(dtype), v.to(dtype), attn_mask=None if mask is None else mask.to(dtype), scale=1.0
    )
    if mask is not None:
        nothing = (mask == -math.inf).all(-1)
        z, o = z.masked_fill(nothing, -math.inf), o.masked_fill(nothing[..., None], 0.0)
    return Partial(o.to(v.dtype), z)
