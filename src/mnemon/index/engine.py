"""What vector engines have in common: they know neither rows nor heads, nor entries that are not there."""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# The best `k` of the entries that an engine was built of: ids [t k] for queries [t d], below 0 where there are fewer.
Ask = Callable[[np.ndarray, int], np.ndarray]
Build = Callable[[np.ndarray], Ask]


def by_heads(
    queries: Float[Tensor, "*b h t d"],
    keys: Float[Tensor, "*b h m d"],
    top_k: int,
    valid: Bool[Tensor, "..."] | None,
    build: Build,
) -> tuple[Float[Tensor, "*b h t k"], Int[Tensor, "*b h t k"]]:
    """Search by an engine that is built anew of each row's and head's entries; scores are computed again, exactly.

    Entries that no query may see are not given to the engine. Where some may see more than others (a joint merge), it
    is asked for as many more as a query may lose, and what is not valid is dropped.
    """
    *lead, t, d = queries.shape
    m = keys.shape[-2]
    k, n = min(top_k, m), math.prod(lead)
    flat_q, flat_k = queries.detach().to(scored(keys)).reshape(n, t, d), keys.reshape(n, m, d)
    scores = flat_q.new_full((n, t, k), -math.inf)
    ids = torch.zeros(n, t, k, dtype=torch.long, device=keys.device)
    mask = torch.ones(1, m, dtype=torch.bool, device=keys.device) if valid is None else valid
    mask = mask.expand(*lead, *mask.shape[-2:]) if mask.ndim > 1 else mask.expand(*lead, 1, m)
    for i, seen in enumerate(mask.reshape(n, mask.shape[-2], m) if k and t else ()):
        places = seen.any(0).nonzero().squeeze(1)
        if len(places):
            scores[i], ids[i] = _one(flat_q[i], flat_k[i], seen, places, k, build)
    return scores.view(*lead, t, k), ids.view(*lead, t, k)


def scored(keys: Tensor) -> torch.dtype:
    """The dtype of scores: at least float32."""
    return torch.promote_types(keys.dtype, torch.float32)


def _one(q: Tensor, keys: Tensor, seen: Tensor, places: Tensor, k: int, build: Build) -> tuple[Tensor, Tensor]:
    """Scores and ids of one head; `places` are the entries that some query may see."""
    lost = int((~seen[:, places]).sum(-1).max())
    asked = min(k + lost, len(places))
    found = build(_numbers(keys[places]))(_numbers(q), asked)
    there = torch.from_numpy(found.astype(np.int64)).to(keys.device)
    ids = places[there.clamp(min=0)]
    scores = (keys[ids].to(q.dtype) @ q.unsqueeze(-1)).squeeze(-1)
    gone = (there < 0) | ~seen.expand(len(q), -1).gather(-1, ids)
    scores, order = scores.masked_fill(gone, -math.inf).sort(dim=-1, descending=True, stable=True)
    ids = ids.gather(-1, order)
    short = max(k - asked, 0)
    scores = torch.nn.functional.pad(scores[:, :k], (0, short), value=-math.inf)
    return scores, torch.nn.functional.pad(ids[:, :k], (0, short))


def _numbers(x: Tensor) -> np.ndarray:
    return x.float().contiguous().cpu().numpy()
