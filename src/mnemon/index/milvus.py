import math
import secrets
import weakref
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.config import Problem
from mnemon.index.base import Store, dealt
from mnemon.index.fetched import fetched
from mnemon.index.mapped_folder import StoreShape
from mnemon.index.milvus_answers import joined
from mnemon.index.milvus_connection import Connection, check_store_name
from mnemon.index.milvus_lease import Lease
from mnemon.index.milvus_tenant import MOST, Search, Tenant
from mnemon.ops import Neighbours


@dataclass(frozen=True)
class Place:
    """Collections of a Milvus, one for each size of head, with an index and the fingerprint of whose keys they hold."""

    connection: Connection
    collection: str = "mnemon"
    index: str = "flat"
    fingerprint: str = ""


class MilvusStore(Store):
    """Entries in a Milvus, found by its index; what a search gives is brought here, a key and a value a neighbour.

    Entry e of a row stands in slot e mod (size + spare), whose name is the entry's primary key, and the counts are
    written after the entries: writing again what a lost answer left in doubt changes nothing, and a process or server
    that is killed, whenever that is, leaves the last committed state. Reads see all that was written before.
    """

    def __init__(self, place: Place, name: str, shape: StoreShape):
        check_store_name(name)
        collection = f"{place.collection}_{shape.dim}"
        place.connection.collection(collection, shape.dim, place.index, place.fingerprint)
        self.place, self.shape, self.size = place, shape, shape.size
        self.tenant = Tenant(place.connection, collection, name, shape.dim, shape.slots, place.index)
        self.written, self.turn = torch.zeros(shape.rows, dtype=torch.long), 0
        self.lease: Lease | None = None
        self.used = [0] * shape.rows  # slots below which something may stand, and has to go before it is written to

    @classmethod
    def create(cls, place: Place, name: str, shape: StoreShape) -> "MilvusStore":
        """An empty store that stays, under a name of its own."""
        store = cls(place, name, shape)
        if store.tenant.read_counts():
            raise Problem(
                f"milvus {place.connection.uri}: there is a store {name!r} already; open it, or choose a name"
            )
        store._describe()
        return store

    @classmethod
    def open(cls, place: Place, name: str, dim: int, dtype: str = "float32") -> "MilvusStore":
        """The store of that name for heads of size `dim`, as it was when it was last written."""
        counts = cls(place, name, StoreShape(0, 0, 1, dim, dtype)).tenant.read_counts()
        if "rows" not in counts:
            raise Problem(f"milvus {place.connection.uri}: there is no store {name!r} for heads of size {dim}")
        rows, heads = counts["rows"]
        store = cls(place, name, StoreShape(rows, heads, counts["size"][0], dim, dtype))
        turns = [[counts[at] for turn in "01" if (at := f"row-{row}/{turn}") in counts] for row in range(rows)]
        if not all(turns):
            raise Problem(f"milvus {place.connection.uri}: store {name!r} is damaged: it does not say what it holds")
        latest = [max(each, key=lambda count: count[1]) for each in turns]
        store.written = torch.tensor([count for count, _ in latest])
        store.turn = max(turn for _, turn in latest)
        store.used = [store.shape.slots] * rows  # who wrote before may have been killed behind the count
        store.tenant.finish(counts, heads)
        store.commit(store.written)  # reads wait for what was written last: so they see all that was there before
        return store

    @classmethod
    def scratch(cls, place: Place, shape: StoreShape) -> "MilvusStore":
        """An empty store under a name that nobody else has, removed with its process."""
        store = cls(place, f"scratch-{secrets.token_hex(8)}", shape)
        store.lease = Lease(store.tenant, shape.rows, shape.heads)
        store.lease.renew()  # first: whatever follows is found if this process is killed
        store._describe()
        weakref.finalize(store, store.lease.end)
        return store

    def _describe(self) -> None:
        counts = [
            self.tenant.counts("rows", self.shape.rows, self.shape.heads),
            self.tenant.counts("size", self.size, 0),
        ]
        self.tenant.write(counts)
        self.commit(self.written)

    def find(
        self,
        q: Float[Tensor, "b h t d"],
        top_k: int,
        rows: Int[Tensor, " b"],
        before: Int[Tensor, "b t"] | None = None,
    ) -> Neighbours | None:
        if not bool(self.written.any()):
            return None
        self._use()
        b, h, t, d = q.shape
        k = min(top_k, self.size)
        asked = q.detach().float().cpu().numpy()
        wanted = [
            (at, head, search)
            for at, row in enumerate(rows.tolist())
            for head in range(h)
            if (search := self._search(row, head, asked[at][head], k, None if before is None else before[at]))
        ]
        keys, values = np.zeros((2, b, h, t, k, d), dtype=np.float32)
        positions, scores = np.full((b, h, t, k), -1), np.full((b, h, t, k), -math.inf, dtype=np.float32)
        answers = self.tenant.search([search for *_, search in wanted])
        for (at, head, _), answer in zip(wanted, answers, strict=True):
            for query, found in enumerate(answer):
                limit = None if before is None else int(before[at, query])
                kept = (np.ones_like(found.pos, dtype=bool) if limit is None else found.pos < limit).nonzero()[0][:k]
                place = at, head, query, slice(0, len(kept))
                keys[place], values[place] = found.keys[kept], found.values[kept]
                positions[place], scores[place] = found.pos[kept], found.scores[kept]
        dtype = getattr(torch, self.shape.dtype)
        k_there, v_there = (torch.from_numpy(x).to(q.device, dtype) for x in (keys, values))
        places, z = (torch.from_numpy(x).to(q.device) for x in (positions, scores))
        return fetched(k_there, v_there, places, z)

    def _search(self, row: int, head: int, q: np.ndarray, k: int, limit: Tensor | None) -> Search | None:
        """What to ask for a row and head; None where nothing can be found.

        Milvus knows one limit for all queries, so those with a smaller one are given as many more as they may lose.
        """
        behind = int(self.written[row])
        first = max(0, behind - self.size)
        below = None
        if limit is not None:
            below, least = int(limit.max()), int(limit.min())
            k += below - least
        k = min(k, behind - first, MOST)
        return Search(row, head, q, k, first, behind, below) if k > 0 else None

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
        lengths, done = lengths.cpu(), torch.zeros_like(self.written)
        while bool((done < lengths).any()):
            step = (lengths - done).clamp(max=self.shape.slots - self.size)
            for row, (first, count) in enumerate(zip(done.tolist(), step.tolist(), strict=True)):
                part, entries = slice(first, first + count), torch.arange(count) + self.written[row]
                if count:
                    self.take(row, entries, keys[row, :, part], values[row, :, part], positions[row, part])
            self.commit(self.written + step)
            done = done + step

    def take(
        self,
        row: int,
        entries: Int[Tensor, " n"],
        keys: Float[Tensor, "h n d"],
        values: Float[Tensor, "h n d"],
        positions: Int[Tensor, " n"],
    ) -> None:
        """Write entries of a row; the count is yet to be committed."""
        k, v = (x.detach().float().cpu().numpy() for x in (keys, values))
        first, behind = (int(entries[0]), int(entries[-1]) + 1) if len(entries) else (0, 0)
        new = self.used[row] <= first and behind <= self.shape.slots
        self.used[row] = max(self.used[row], behind)
        self.tenant.write(self.tenant.records(row, entries.tolist(), k, v, positions.cpu().numpy()), new)

    def commit(self, written: Int[Tensor, " b"]) -> None:
        """From now on, rows hold the last of so many entries; a count takes turns between two records."""
        self._use()
        self.turn += 1
        names = [f"row-{row}/{self.turn % 2}" for row in range(len(written))]
        counts = zip(names, written.tolist(), strict=True)
        self.tenant.write([self.tenant.counts(name, count, self.turn) for name, count in counts])
        self.written = written

    def _use(self) -> None:
        if self.lease is not None:
            self.lease.renew()

    def reset(self, rows: Bool[Tensor, " b"]) -> None:
        if bool(rows.any()):
            self.commit(self.written.masked_fill(rows.cpu(), 0))
            for row in rows.cpu().nonzero().flatten().tolist():
                self.tenant.forget(row, self.shape.heads)

    def forget(self, row: int, first: int, behind: int) -> None:
        """Delete a row's entries at the stream positions from `first` to `behind` (not included): a document's."""
        self.tenant.forget_whole(row, self.shape.heads, first, behind)
        self.commit(self.written)  # reads wait for what was inserted last, not for what was deleted

    def chosen(self, rows: Int[Tensor, " b2"]) -> "MilvusStore":
        twin = self._twin(len(rows))
        for at, row in enumerate(rows.tolist()):
            twin.take(at, *self._held(row))
        twin.commit(self.written[rows])
        return twin

    def shuffled(self, seed: int) -> "MilvusStore":
        twin = self._twin(self.shape.rows)
        for row, written in enumerate(self.written.tolist()):
            entries, keys, values, positions = self._held(row)
            order = dealt(seed, written, len(entries))
            twin.take(row, entries, keys, values[:, order], positions[order])
        twin.commit(self.written)
        return twin

    def _twin(self, rows: int) -> "MilvusStore":
        return MilvusStore.scratch(self.place, replace(self.shape, rows=rows))

    def _held(self, row: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All that a row holds, in order: entry numbers [n], keys and values [h n d], positions [n]."""
        behind = int(self.written[row])
        first = max(0, behind - self.size)
        heads = [
            joined(self.tenant.entries(row, head, first, behind), self.shape.dim) for head in range(self.shape.heads)
        ]
        dtype = getattr(torch, self.shape.dtype)
        keys, values = (
            torch.from_numpy(np.stack(x)).to(dtype) for x in zip(*(head[2:] for head in heads), strict=True)
        )
        return torch.from_numpy(heads[0][0]), keys, values, torch.from_numpy(heads[0][1])

    def tensors(self) -> dict[str, Tensor]:
        shape, used = self.shape, min(int(self.written.max()), self.shape.slots)
        dtype = getattr(torch, shape.dtype)
        keys, values = torch.zeros(2, shape.rows, shape.heads, used, shape.dim, dtype=dtype).unbind()
        positions = torch.full((shape.rows, used), -1)  # where nothing is held
        for row in range(shape.rows):
            entries, k, v, at = self._held(row)
            slots = entries % shape.slots
            keys[row, :, slots], values[row, :, slots], positions[row, slots] = k, v, at
        size = torch.tensor([self.size])
        return {"keys": keys, "values": values, "positions": positions, "written": self.written, "size": size}
