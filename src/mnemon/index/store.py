from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.index.base import Store, StoreKind, dealt
from mnemon.index.exact import exact_search
from mnemon.index.named import Search
from mnemon.index.room import rooms
from mnemon.ops import Neighbours, write_count

ALIGN = 1024  # searches see a multiple of this many slots, so that shapes seldom change while a store fills


KEPT = ("keys", "values", "positions", "written")


@dataclass(frozen=True)
class RingKind(StoreKind):
    """Rings in which `search` finds."""

    search: Search = exact_search

    def check(self) -> None:
        self.search(torch.empty(1, 0, 1), torch.empty(1, 0, 1), 1)

    def reach(self, dim: int) -> None:
        """Nothing: it lies here."""

    def empty(self, rows: int, heads: int, size: int, dim: int, like: Tensor) -> "RingStore":
        return RingStore.empty(rows, heads, size, dim, like, self.search)

    def loaded(self, tensors: Mapping[str, Tensor], size: int) -> "RingStore":
        found = {name: tensors[name].clone() for name in KEPT}
        slots = found["keys"].shape[2]
        # Where more was written than there are slots, these are all there ever were; else there may be room for more.
        size = slots if int(found["written"].max()) > slots else max(slots, size)
        return RingStore(**found, size=size, search=self.search)


@dataclass
class RingStore(Store):
    """Keys and values of each row and head in a ring of `size` slots: the oldest entry is overwritten.

    Slots are allocated as they are needed; m of them are there. `written[b]` counts entries ever written to a row since
    its reset; slot = count mod m, and m = `size` before anything is overwritten. A reset sets the count alone;
    unwritten slots are never returned. `positions` holds each entry's stream position, `version` rises with every
    write.
    """

    keys: Float[Tensor, "b h m d"]
    values: Float[Tensor, "b h m d"]
    positions: Int[Tensor, "b m"]
    written: Int[Tensor, " b"]
    size: int
    search: Search = exact_search

    @classmethod
    def empty(
        cls, rows: int, heads: int, size: int, dim: int, like: Tensor, search: Search = exact_search
    ) -> "RingStore":
        keys, values = (torch.empty(rows, heads, 0, dim, dtype=like.dtype, device=like.device) for _ in range(2))
        positions = torch.empty(rows, 0, dtype=torch.long, device=like.device)
        return cls(keys, values, positions, torch.zeros(rows, dtype=torch.long), size, search)

    @property
    def slots(self) -> int:
        """Slots that are allocated."""
        return self.keys.shape[2]

    @property
    def version(self) -> int:
        """Write counter of the key tensor: differs after every write (0 in inference mode, where none is kept)."""
        return write_count(self.keys)

    def used(self) -> int:
        """Slots to search: the fullest row's, rounded up to a multiple of 1024, at most the capacity."""
        fullest = min(int(self.written.max()), self.size) if len(self.written) else 0
        return min(-(-fullest // ALIGN) * ALIGN, self.slots)

    def valid(self, slots: int) -> Bool[Tensor, "b m"]:
        """Which of the first `slots` slots hold an entry."""
        filled = self.written.to(self.keys.device)
        return torch.arange(slots, device=self.keys.device) < filled[:, None]

    def reset(self, rows: Bool[Tensor, " b"]) -> None:
        self.written = self.written.masked_fill(rows.cpu(), 0)

    def find(
        self,
        q: Float[Tensor, "b h t d"],
        top_k: int,
        rows: Int[Tensor, " b"],
        before: Int[Tensor, "b t"] | None = None,
    ) -> Neighbours | None:
        slots = self.used()
        if not slots:
            return None
        there = rows.to(q.device)
        if torch.equal(rows, torch.arange(len(self.written))):
            scores, ids = self._best(q, top_k, slots, slice(None), before)
        else:
            sharing = [(row, (rows == row).nonzero().flatten()) for row in sorted(set(rows.tolist()))]
            parts = [self._together(q, top_k, slots, row, each, before) for row, each in sharing]
            order = torch.cat([each for _, each in sharing]).argsort().to(q.device)
            scores, ids = (torch.cat(part)[order] for part in zip(*parts, strict=True))
        found = scores > -torch.inf
        return Neighbours(self.keys, self.values, self.positions, there, ids, found, scores, self.version)

    def _together(
        self, q: Tensor, top_k: int, slots: int, row: int, asking: Int[Tensor, " n"], before: Tensor | None
    ) -> tuple[Float[Tensor, "n h t k"], Int[Tensor, "n h t k"]]:
        """What rows `asking`, which share one row of the store (beams), find: asked as one, with no copy of it."""
        folded = rearrange(q[asking.to(q.device)], "n h t d -> 1 h (n t) d")
        limit = None if before is None else before[asking].reshape(1, -1)
        found = self._best(folded, top_k, slots, slice(row, row + 1), limit)
        scores, ids = (rearrange(each, "1 h (n t) k -> n h t k", n=len(asking)) for each in found)
        return scores, ids

    def _best(
        self, q: Tensor, top_k: int, slots: int, rows: slice, before: Tensor | None
    ) -> tuple[Float[Tensor, "b h t k"], Int[Tensor, "b h t k"]]:
        """Scores and slots for queries of these rows of the store, each of its own."""
        full = bool((self.written[rows] >= slots).all())
        valid = None if full else self.valid(slots)[rows, None, None, :]  # b 1 1 m
        if before is not None:
            earlier = self.positions[rows, None, :slots] < before.to(q.device)[:, :, None]  # b t m
            valid = earlier[:, None] if valid is None else valid & earlier[:, None]
        return self.search(q, self.keys[rows, :, :slots], top_k, valid)

    def chosen(self, rows: Int[Tensor, " b2"]) -> "RingStore":
        there = rows.to(self.keys.device)
        kept = {name: getattr(self, name)[there] for name in ("keys", "values", "positions")}
        return replace(self, **kept, written=self.written[rows])

    def tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in KEPT}

    def shuffled(self, seed: int) -> "RingStore":
        values, positions = self.values.clone(), self.positions.clone()
        for row, written in enumerate(self.written.tolist()):
            count = min(written, self.size)
            order = dealt(seed, written, count).to(values.device)
            values[row, :, :count] = self.values[row, :, order]
            positions[row, :count] = self.positions[row, order]
        return replace(self, values=values, positions=positions)

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
        lengths = lengths.cpu()
        self._grow(int((self.written + lengths).max()))
        if not self.slots:
            return
        if bool((lengths == keys.shape[2]).all()) and keys.shape[2] <= self.slots:
            self._write_whole(keys, values, positions)
        else:
            self._write_some(keys, values, positions, lengths)
        self.written = self.written + lengths

    def _write_whole(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Every entry of every row, by slices: rows that stand at the same slot in one copy, and two where it wraps."""
        n, m = keys.shape[2], self.slots
        slots = self.written % m
        pairs = ((self.keys, keys, 2), (self.values, values, 2), (self.positions, positions, 1))
        for slot in sorted(set(slots.tolist())):
            rows = (slots == slot).nonzero().squeeze(1).to(self.keys.device)
            kept = min(n, m - slot)
            for ring, fresh, dim in pairs:
                fresh = fresh.detach().to(ring)
                for first, begun, count in ((slot, 0, kept), (0, kept, n - kept)):
                    source, target = fresh.narrow(dim, begun, count), ring.narrow(dim, first, count)
                    if len(rows) == len(ring):
                        target.copy_(source)
                    else:
                        target[rows] = source[rows]

    def _write_some(self, keys: Tensor, values: Tensor, positions: Tensor, lengths: Tensor) -> None:
        """The first entries of each row, of which a capacity's worth stays, one by one."""
        b, h, _, d = self.keys.shape
        device, m = self.keys.device, self.slots
        order = torch.arange(keys.shape[2])
        kept = (order < lengths[:, None]) & (order >= lengths[:, None] - m)  # b n
        row, entry = (index.to(device) for index in kept.nonzero(as_tuple=True))
        slot = (self.written.to(device)[row] + entry) % m
        flat = (row[:, None] * h + torch.arange(h, device=device)) * m + slot[:, None]  # entries, heads
        for ring, fresh in ((self.keys, keys), (self.values, values)):
            rows = fresh.detach().to(ring.dtype).transpose(1, 2)[row, entry]  # entries, heads, d
            ring.view(b * h * m, d).index_copy_(0, flat.flatten(), rows.flatten(0, 1))
        self.positions[row, slot] = positions.to(device)[row, entry]

    def _grow(self, entries: int) -> None:
        """Have room for so many entries a row, or all there may be; at least doubling, so that copies are few.

        Before the last growth nothing was overwritten, so that the entries stay in the slots they are in.
        """
        if self.slots >= min(entries, self.size):
            return
        held = self.slots
        m = min(self.size, max(-(-entries // ALIGN) * ALIGN, 2 * held))
        shape = (*self.keys.shape[:2], m, self.keys.shape[3])
        keys, values = rooms(self.keys, shape, shape)  # both, or the ring stays as it is
        for fresh, old in ((keys, self.keys), (values, self.values)):
            fresh[:, :, :held] = old
        self.keys, self.values = keys, values
        self.positions = torch.nn.functional.pad(self.positions, (0, m - held), value=-1)
