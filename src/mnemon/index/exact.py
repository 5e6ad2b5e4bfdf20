import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

BLOCK = 8192  # keys scored at once: larger blocks spill out of the cache, smaller ones cost more merges


def exact_search(
    queries: Float[Tensor, "*b h t d"],
    keys: Float[Tensor, "*b h m d"],
    top_k: int,
    valid: Bool[Tensor, "..."] | None = None,
) -> tuple[Float[Tensor, "*b h t k"], Int[Tensor, "*b h t k"]]:
    """The `top_k` keys of largest inner product for every query, best first: (scores, ids).

    scores_tj = q_t . k_j, in the keys' own dtype; k = min(top_k, m). `valid` (broadcast to [*b h t m]) leaves entries
    out; where fewer than k remain the score is -inf and the id is to be ignored. Ids are always within 0..m-1.
    The whole score matrix is never held: keys are scored in blocks whose winners are merged.
    """
    m = keys.shape[-2]
    k = min(top_k, m)
    queries = queries.detach().to(keys.dtype)
    best: tuple[Tensor, Tensor] | None = None
    for start in range(0, m, BLOCK):
        block = slice(start, min(start + BLOCK, m))
        scores = queries @ keys[..., block, :].mT
        if valid is not None:
            scores = scores.masked_fill(~valid[..., block], -math.inf)
        top, ids = scores.topk(min(k, scores.shape[-1]), dim=-1)
        if best is not None:
            top, ids = torch.cat([best[0], top], -1), torch.cat([best[1], ids + start], -1)
            top, order = top.topk(min(k, top.shape[-1]), dim=-1)
            ids = ids.gather(-1, order)
        best = top, ids
    if best is None:
        empty = queries.new_empty((*queries.shape[:-1], 0))
        return empty, empty.long()
    return best
