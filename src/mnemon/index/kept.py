"""Indexes that are kept with the entries: added to as these are written, instead of built for each search."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.index.base import Store, StoreKind
from mnemon.index.engine import scored
from mnemon.index.exact import exact_search
from mnemon.index.store import RingKind, RingStore
from mnemon.ops import Neighbours

START = 4096  # entries of a row from which on an index is worth its while; fewer are compared one by one
GROWTH = 2  # times the entries that an index was built of: then it is built anew, without those overwritten meanwhile


class Engine(ABC):
    """An index over vectors in the order in which it was given them."""

    @abstractmethod
    def add(self, entries: np.ndarray) -> None:
        """Take up further vectors [n d]."""

    @abstractmethod
    def ask(self, q: np.ndarray, k: int) -> np.ndarray:
        """The best `k` for queries [t d]: their places in that order [t k], below 0 where there are fewer."""


Begin = Callable[[np.ndarray], Engine]


@dataclass
class Kept:
    """The engines of a row, one a head; `slots` [i] says where the i-th entry that they were given stands, and `latest`
    [slot] which entry stands there now. `built`: entries at the start."""

    engines: list[Engine]
    slots: Int[Tensor, " i"]
    latest: Int[Tensor, " m"]
    built: int

    def add(self, keys: Float[Tensor, "h n d"], slots: Int[Tensor, " n"]) -> None:
        """Take up the entries that were written to `slots`."""
        given = len(self.slots)
        for engine, fresh in zip(self.engines, keys, strict=True):
            engine.add(_numbers(fresh))
        self.slots = torch.cat([self.slots, slots])
        grown = int(slots.max()) + 1 - len(self.latest)
        self.latest = torch.nn.functional.pad(self.latest, (0, max(0, grown)), value=-1)
        self.latest[slots] = torch.arange(given, given + len(slots))


@dataclass(frozen=True)
class KeptKind(StoreKind):
    """Rings with an index, begun by `begin`, for each row and head that holds `start` entries."""

    begin: Begin
    ring: RingKind
    start: int = START

    def check(self) -> None:
        self.ring.check()

    def reach(self, dim: int) -> None:
        """Nothing: it lies here."""

    def empty(self, rows: int, heads: int, size: int, dim: int, like: Tensor) -> "KeptStore":
        return KeptStore(RingKind().empty(rows, heads, size, dim, like), self.begin, self.start)

    def loaded(self, tensors: Mapping[str, Tensor], size: int) -> "KeptStore":
        return KeptStore(RingKind().loaded(tensors, size), self.begin, self.start)


@dataclass
class KeptStore(Store):
    """A ring of entries, and indexes that find in it.

    A row's index is built when it is first asked, is added to as entries are written, and is built anew when it has
    been given twice as many as it was built of: entries that were overwritten stay in it, and are dropped from what it
    finds. Scores are computed again from the keys. Rows of few entries are searched exactly.
    """

    ring: RingStore
    begin: Begin
    start: int
    kept: dict[int, Kept] = field(default_factory=dict)

    @property
    def size(self) -> int:  # type: ignore[override]  # the ring's
        return self.ring.size

    @property
    def written(self) -> Int[Tensor, " b"]:  # type: ignore[override]  # the ring's
        return self.ring.written

    def attended(self, found: Neighbours, weights: Float[Tensor, "b h t k"]) -> None:
        """Nothing: the oldest entry goes, whatever was attended to."""

    def write(
        self,
        keys: Float[Tensor, "b h n d"],
        values: Float[Tensor, "b h n d"],
        positions: Int[Tensor, "b n"],
        lengths: Int[Tensor, " b"],
        starts: Int[Tensor, " b"] | None = None,
    ) -> None:
        before = self.written
        self.ring.write(keys, values, positions, lengths, starts)
        for row, kept in list(self.kept.items()):
            first, last = int(before[row]), int(self.written[row])
            if last - first >= self.size or len(kept.slots) + last - first > GROWTH * kept.built:
                del self.kept[row]
            elif last > first:
                slots = torch.arange(first, last) % self.ring.slots
                kept.add(self.ring.keys[row][:, slots.to(keys.device)], slots)

    def reset(self, rows: Bool[Tensor, " b"]) -> None:
        self.ring.reset(rows)
        for row in rows.cpu().nonzero().flatten().tolist():
            self.kept.pop(row, None)

    def find(
        self,
        q: Float[Tensor, "b h t d"],
        top_k: int,
        rows: Int[Tensor, " b"],
        before: Int[Tensor, "b t"] | None = None,
    ) -> Neighbours | None:
        ring = self.ring
        k = min(top_k, ring.used())
        if not k:
            return None
        scores = q.new_full((*q.shape[:3], k), -math.inf, dtype=scored(ring.keys))
        ids = torch.zeros(scores.shape, dtype=torch.long, device=q.device)
        for at, row in enumerate(rows.tolist()):
            limit = None if before is None else before[at]
            filled = min(int(ring.written[row]), ring.size)
            if filled >= self.start:
                found = self._asked(q[at], k, row, limit)
            elif filled:
                found = self._compared(q[at], k, row, filled, limit)
            else:
                continue
            scores[at, ..., : found[0].shape[-1]], ids[at, ..., : found[1].shape[-1]] = found
        there = rows.to(q.device)
        return Neighbours(ring.keys, ring.values, ring.positions, there, ids, scores > -math.inf, scores, ring.version)

    def chosen(self, rows: Int[Tensor, " b2"]) -> "KeptStore":
        return KeptStore(self.ring.chosen(rows), self.begin, self.start)

    def shuffled(self, seed: int) -> "KeptStore":
        return replace(self, ring=self.ring.shuffled(seed))  # same keys: found by the same index

    def tensors(self) -> dict[str, Tensor]:
        return self.ring.tensors()

    def _compared(self, q: Tensor, k: int, row: int, filled: int, limit: Tensor | None) -> tuple[Tensor, Tensor]:
        """The best of a row's few entries for queries [h t d]."""
        valid = None
        if limit is not None:
            valid = self.ring.positions[row, None, :filled] < limit.to(q.device)[:, None]
        return exact_search(q, self.ring.keys[row, :, :filled], k, valid)

    def _asked(self, q: Tensor, k: int, row: int, limit: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the index of a row finds for queries [h t d], heads one after another."""
        kept = self.kept.get(row) or self._build(row)
        there = None if limit is None else (self.ring.positions[row].cpu(), limit)
        dtype, scores, ids = scored(self.ring.keys), [], []
        for engine, queries, keys in zip(kept.engines, q, self.ring.keys[row], strict=True):
            slots = _standing(engine, kept, _numbers(queries), k, there).to(q.device)
            products = torch.einsum("td,tad->ta", queries.to(dtype), keys[slots.clamp(min=0)].to(dtype))
            best, order = products.masked_fill(slots < 0, -math.inf).topk(min(k, slots.shape[1]), dim=-1)
            scores.append(best)
            ids.append(slots.clamp(min=0).gather(-1, order))
        return _aligned(scores, -math.inf), _aligned(ids, 0)

    def _build(self, row: int) -> Kept:
        filled = min(int(self.ring.written[row]), self.ring.size)
        slots = torch.arange(filled)
        engines = [self.begin(_numbers(keys)) for keys in self.ring.keys[row, :, :filled]]
        self.kept[row] = Kept(engines, slots, slots.clone(), filled)
        return self.kept[row]


def _standing(
    engine: Engine, kept: Kept, q: np.ndarray, k: int, there: tuple[Tensor, Tensor] | None
) -> Int[Tensor, "t a"]:
    """The slots of what an engine finds, -1 for what no longer stands there or may not be seen yet.

    It is asked for more until each query has `k` left, or it has no more to give. `there`: the position of each slot,
    and for each query the one that is the first it may not see.
    """
    given, asked = len(kept.slots), k
    while True:
        found = torch.from_numpy(engine.ask(q, asked).astype(np.int64))
        slots = kept.slots[found.clamp(min=0)]
        gone = (found < 0) | (kept.latest[slots] != found)
        if there is not None:
            gone |= there[0][slots] >= there[1][:, None]
        short = (~gone).sum(-1) < k
        if asked >= given or not bool((short & (found >= 0).all(-1)).any()):
            return slots.masked_fill(gone, -1)
        asked = min(2 * asked, given)


def _aligned(parts: Sequence[Tensor], empty: int | float) -> Tensor:
    """Results of heads as one tensor; where a head has fewer, `empty` stands."""
    width = max(part.shape[-1] for part in parts)
    return torch.stack([torch.nn.functional.pad(part, (0, width - part.shape[-1]), value=empty) for part in parts])


def _numbers(x: Tensor) -> np.ndarray:
    return x.detach().float().contiguous().cpu().numpy()
