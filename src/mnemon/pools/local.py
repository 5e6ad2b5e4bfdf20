from dataclasses import dataclass

import torch
from torch import Tensor

from mnemon.config import Config
from mnemon.ops import Hidden
from mnemon.pools import recent
from mnemon.pools.base import Fresh, Pool, State


@dataclass(frozen=True)
class LocalState(State):
    """Attention's inputs since the last segment boundary, right-aligned, and how many of them are real."""

    tail: Tensor
    count: Tensor


class LocalPool(Pool):
    """The segment itself. Without a cache it also holds the begun segment, so that decoding sees what training saw."""

    def __init__(self, dim: int, segment: int, cached: bool):
        super().__init__()
        self.dim, self.segment, self.cached = dim, segment, cached

    def init_state(self, rows: int, memory: int | None = None) -> LocalState:
        return LocalState(torch.empty(rows, 0, self.dim), torch.zeros(rows, dtype=torch.long))

    def reset(self, state: LocalState, rows: Tensor, memory: bool = True) -> LocalState:
        return LocalState(state.tail, state.count.masked_fill(rows.cpu(), 0))

    def read(self, state: LocalState, q: Tensor, fresh: Fresh) -> Hidden:
        t, slots = fresh.x.shape[1], state.tail.shape[1]
        offset = torch.arange(-slots, t, device=fresh.x.device)
        if not slots:
            return Hidden(fresh.x, offset)
        real = recent.valid(state.count, slots, fresh.x.device)
        if real is not None:
            real = torch.cat([real, real.new_ones(len(real), t)], dim=1)
        return Hidden(torch.cat([state.tail.to(fresh.x), fresh.x], dim=1), offset, real)

    def update(self, state: LocalState, fresh: Fresh) -> LocalState:
        if self.cached:
            return state
        lengths = fresh.real()
        count = state.count + lengths
        count = count.masked_fill(count >= self.segment, 0)
        if fresh.ends is not None:
            count = count.masked_fill(fresh.ends, 0)
        tail = recent.append(state.tail.to(fresh.x.device), fresh.x, lengths, int(count.max()))
        return LocalState(tail, count)

    def select(self, state: LocalState, rows: Tensor) -> LocalState:
        return LocalState(state.tail[rows.to(state.tail.device)], state.count[rows.cpu()])


class LocalConfig(Config):
    """The segment; it has no settings of its own."""

    def build(
        self, dim: int, n_heads: int, head_dim: int, segment: int, window: int, cached: int, faithful: bool = False
    ) -> Pool:
        return LocalPool(dim, segment, cached > 0)
