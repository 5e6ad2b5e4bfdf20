import math
from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mnemon.ops import Neighbours, write_count


def fetched(
    keys: Float[Tensor, "b h t k d"],
    values: Float[Tensor, "b h t k d"],
    positions: Int[Tensor, "b h t k"],
    scores: Float[Tensor, "b h t k"],
) -> Neighbours:
    """Neighbours whose entries were brought here by an engine that keeps them elsewhere: a copy, `k` a query.

    Where a query has fewer, the score is -inf and the entry to be ignored.
    """
    b, h, t, k = scores.shape
    keys, values, positions = keys.flatten(2, 3), values.flatten(2, 3), positions.flatten(2, 3)
    ids = torch.arange(t * k, device=keys.device).view(t, k).expand(b, h, t, k)
    rows = torch.arange(b, device=keys.device)
    return Neighbours(keys, values, positions, rows, ids, scores > -math.inf, scores, write_count(keys))


def brought(read: Neighbours, device: torch.device) -> Neighbours:
    """The entries that were found, where they are asked for."""
    rows, heads = read.rows[:, None, None, None], torch.arange(read.ids.shape[1])[:, None, None]
    there = (read.keys[rows, heads, read.ids], read.values[rows, heads, read.ids], read.places(), read.scores)
    return fetched(*(each.to(device) for each in there))


def best_of(
    parts: Iterable[tuple[Float[Tensor, "*b n"], Int[Tensor, "*b n"]]], k: int
) -> tuple[Float[Tensor, "*b k"], Int[Tensor, "*b k"]]:
    """The `k` best of what was found in one block after another, best first: (scores, ids); of none the score is -inf.

    Only two blocks' winners are held at once.
    """
    best: tuple[Tensor, Tensor] | None = None
    for scores, ids in parts:
        if best is not None:
            scores, ids = torch.cat([best[0], scores], -1), torch.cat([best[1], ids], -1)
        top, order = scores.topk(min(k, scores.shape[-1]), dim=-1)
        best = top, ids.gather(-1, order)
    assert best is not None
    short = (0, k - best[0].shape[-1])
    return torch.nn.functional.pad(best[0], short, value=-math.inf), torch.nn.functional.pad(best[1], short)
