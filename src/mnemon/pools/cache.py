from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mnemon.config import Config
from mnemon.ops import Hidden, Shared
from mnemon.pools import recent
from mnemon.pools.base import Fresh, Pool, State


@dataclass(frozen=True)
class HiddenCacheState(State):
    """Attention's inputs at the last positions [b n e], right-aligned; `count` of them are real."""

    h: Tensor
    count: Tensor


@dataclass(frozen=True)
class KeyValueCacheState(State):
    """Keys and values of the last positions [b h n d], right-aligned; `count` of them are real."""

    k: Tensor
    v: Tensor
    count: Tensor


class HiddenCache(Pool):
    """The last `length` inputs of the layer, projected anew with the segment (arXiv 1901.02860, 1907.01470).

    No gradient reaches the cached states themselves; it does reach the projections. `faithful`: positions before the
    document's first token count as zeros, as in the released codes; otherwise they are not seen.
    """

    def __init__(self, dim: int, length: int, faithful: bool = False):
        super().__init__()
        self.dim, self.length, self.faithful = dim, length, faithful

    def init_state(self, rows: int, memory: int | None = None) -> HiddenCacheState:
        return HiddenCacheState(torch.empty(rows, 0, self.dim), torch.zeros(rows, dtype=torch.long))

    def reset(self, state: HiddenCacheState, rows: Tensor, memory: bool = True) -> HiddenCacheState:
        return HiddenCacheState(state.h, state.count.masked_fill(rows.cpu(), 0))

    def read(self, state: HiddenCacheState, q: Tensor, fresh: Fresh) -> Hidden | None:
        if self.faithful:
            h = recent.zeroed(state.h.to(fresh.x), state.count, self.length)
            return Hidden(h, torch.arange(-self.length, 0, device=h.device))
        slots = state.h.shape[1]
        if not slots:
            return None
        offset = torch.arange(-slots, 0, device=fresh.x.device)
        return Hidden(state.h, offset, recent.valid(state.count, slots, fresh.x.device))

    def update(self, state: HiddenCacheState, fresh: Fresh) -> HiddenCacheState:
        lengths = fresh.real()
        keep = _kept(self.length, fresh)
        h = recent.append(state.h.to(fresh.x.device), fresh.x, lengths, keep)
        return HiddenCacheState(h, (state.count + lengths).clamp(max=keep))

    def select(self, state: HiddenCacheState, rows: Tensor) -> HiddenCacheState:
        return HiddenCacheState(state.h[rows.to(state.h.device)], state.count[rows.cpu()])


class KeyValueCache(Pool):
    """The last `length` keys (normalised, un-rotated) and values of the layer (arXiv 2203.08913, section 3.1).

    `faithful`: as in `HiddenCache`; the position bias of a zero key counts.
    """

    def __init__(self, n_heads: int, head_dim: int, length: int, faithful: bool = False):
        super().__init__()
        self.n_heads, self.head_dim, self.length, self.faithful = n_heads, head_dim, length, faithful

    def init_state(self, rows: int, memory: int | None = None) -> KeyValueCacheState:
        empty = torch.empty(rows, self.n_heads, 0, self.head_dim)
        return KeyValueCacheState(empty, empty, torch.zeros(rows, dtype=torch.long))

    def reset(self, state: KeyValueCacheState, rows: Tensor, memory: bool = True) -> KeyValueCacheState:
        return KeyValueCacheState(state.k, state.v, state.count.masked_fill(rows.cpu(), 0))

    def read(self, state: KeyValueCacheState, q: Tensor, fresh: Fresh) -> Shared | None:
        if self.faithful:
            k, v = (recent.zeroed(x.to(q), state.count, self.length) for x in (state.k, state.v))
            return Shared(k, v, torch.arange(-self.length, 0, device=q.device))
        slots = state.k.shape[2]
        if not slots:
            return None
        offset = torch.arange(-slots, 0, device=q.device)
        return Shared(state.k, state.v, offset, recent.valid(state.count, slots, q.device))

    def update(self, state: KeyValueCacheState, fresh: Fresh) -> KeyValueCacheState:
        assert fresh.k is not None
        assert fresh.v is not None
        lengths, keep = fresh.real(), _kept(self.length, fresh)
        t = fresh.k.shape[2]
        size = min(keep, state.k.shape[2] + t)
        if fresh.recent is not None and fresh.recent[0].shape[2] >= size and bool((lengths == t).all()):
            k, v = (each[:, :, each.shape[2] - size :] for each in fresh.recent)  # no copy: a token costs no window
        else:
            k, v = (
                recent.append(old.to(new.device), new, lengths, keep)
                for old, new in ((state.k, fresh.k), (state.v, fresh.v))
            )
        return KeyValueCacheState(k, v, (state.count + lengths).clamp(max=keep))

    def select(self, state: KeyValueCacheState, rows: Tensor) -> KeyValueCacheState:
        picked = rows.to(state.k.device)
        return KeyValueCacheState(state.k[picked], state.v[picked], state.count[rows.cpu()])


def _kept(length: int, fresh: Fresh) -> int:
    """Positions to keep: no more than the layer's longest span may look at."""
    return length if fresh.reach is None else min(length, fresh.reach)


class CacheConfig(Config):
    """`stores`: hidden states (Transformer-XL, all-attention) or keys and values (Memorizing Transformers).

    `length`: positions kept; None keeps the window.
    """

    stores: Literal["hidden", "kv"] = "kv"
    length: int | None = None

    def kept(self, window: int) -> int:
        """Positions kept."""
        return window if self.length is None else self.length

    def build(
        self, dim: int, n_heads: int, head_dim: int, segment: int, window: int, cached: int, faithful: bool = False
    ) -> Pool:
        if self.stores == "hidden":
            return HiddenCache(dim, cached, faithful)
        return KeyValueCache(n_heads, head_dim, cached, faithful)
