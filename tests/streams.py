"""Segments whose every number tells which token of which row it belongs to."""

import torch
from torch import Tensor

from mnemon.pools import Fresh

HEADS, DIM, WIDTH = 2, 4, 3  # heads, head dim, model dim


def tokens(position: list[int], t: int) -> Tensor:
    """[b t 3]: row, stream position and one."""
    rows = torch.arange(len(position))[:, None].expand(-1, t)
    places = torch.tensor(position)[:, None] + torch.arange(t)
    return torch.stack([rows, places, torch.ones_like(rows)], dim=-1).double()


def keys(position: list[int], t: int) -> Tensor:
    """[b h t 4]: row, head, stream position and one."""
    x = tokens(position, t)
    heads = torch.arange(HEADS).double()[None, :, None].expand(len(position), HEADS, t)
    row, place, one = (part[:, None].expand_as(heads) for part in x.unbind(-1))
    return torch.stack([row, heads, place, one], dim=-1)


def segment(position: list[int], lengths: list[int], ends: list[bool] | None = None) -> Fresh:
    """The next `lengths` tokens of each row, padded with NaN to one more than the longest."""
    t = max(lengths) + 1
    x, k = tokens(position, t), keys(position, t)
    v = -k
    for row, length in enumerate(lengths):
        x[row, length:], k[row, :, length:], v[row, :, length:] = torch.nan, torch.nan, torch.nan
    return Fresh(x, torch.tensor(position), k, v, torch.tensor(lengths), None if ends is None else torch.tensor(ends))


def whole(position: list[int], t: int) -> Fresh:
    """The next `t` tokens of every row."""
    k = keys(position, t)
    return Fresh(tokens(position, t), torch.tensor(position), k, -k)
