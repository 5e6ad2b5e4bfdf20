import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mnemon.ops.kv import Partial


def joint(parts: Sequence[Partial]) -> Partial:
    """One softmax over all pools' keys, from their partial results.

    w_p = exp(z_p - z), z = log sum_p exp(z_p);  o = sum_p w_p o_p. `weights` of the result are the w_p [b h t p]:
    the share of each pool. Where every pool is empty, o = 0 and z = -inf.
    """
    if len(parts) == 1:
        return parts[0]
    z = torch.stack([_log_sum_exp(part) for part in parts], dim=-1)  # b h t p
    peak = z.detach().amax(-1, keepdim=True).clamp(min=torch.finfo(z.dtype).min)
    w = (z - peak).exp()
    total = w.sum(-1, keepdim=True)
    empty = total == 0
    total = total.masked_fill(empty, 1.0)
    w = w / total
    o = sum((share.unsqueeze(-1) * part.o for share, part in zip(w.unbind(-1), parts, strict=True)), torch.zeros(()))
    merged = (total.log() + peak).masked_fill(empty, -math.inf).squeeze(-1)
    return Partial(o.to(parts[0].o.dtype), merged, w)


def gated(rest: Partial, memory: Partial | None, gate: Float[Tensor, " h"]) -> Partial:
    """(1 - g) o_rest + g o_memory, with g per head and 0 where the memory is empty.

    g = sigmoid(b_h) is content-independent (arXiv 2203.08913, section 3.2; `gate` is g). The result keeps the rest's
    z, so that it can merge jointly with other pools. `weights` are the gate's values [b h t 1].
    `memory` is None where nothing is stored at all; the gate stays in the graph all the same, for trainers that count
    the gradients they wait for. Deviation: the released code keeps (1 - g) on an empty memory; here it is neutral.
    """
    if memory is None:
        return Partial(rest.o + (0.0 * gate.sum()).to(rest.o.dtype), rest.z)
    g = torch.where(_log_sum_exp(memory) > -math.inf, gate[:, None], 0.0).unsqueeze(-1)  # b h t 1
    o = (1 - g) * rest.o + g * memory.o
    return Partial(o.to(rest.o.dtype), rest.z, g)


def added(parts: Sequence[Partial]) -> Partial:
    """Softmaxes of their own whose outputs are added: o = sum_p o_p ("attn-split" in arXiv 1907.01470, ablation).

    There is no z: several softmaxes have no common log-sum-exp.
    """
    if len(parts) == 1:
        return parts[0]
    return Partial(sum((part.o for part in parts[1:]), parts[0].o), None)


def beside(parts: Sequence[Partial]) -> Partial:
    """The heads of one part after those of the other ("head-split" in arXiv 1907.01470, ablation)."""
    if len(parts) == 1:
        return parts[0]
    return Partial(torch.cat([part.o for part in parts], dim=1), None)


def _log_sum_exp(part: Partial) -> Tensor:
    if part.z is None:
        raise ValueError("this partial result has no log-sum-exp: it came from a path that cannot be merged jointly")
    return part.z
