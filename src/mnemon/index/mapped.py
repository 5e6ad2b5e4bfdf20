import os
import shutil
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.config import Problem, sync_folder, told
from mnemon.index.base import Store, dealt
from mnemon.index.exact import exact_search
from mnemon.index.fetched import best_of, brought
from mnemon.index.mapped_data import MappedData
from mnemon.index.mapped_folder import StoreShape, begin, describe, described, locked, scratch
from mnemon.ops import Neighbours, write_count

TILE_BYTES = 1 << 26  # keys of one row that are in memory at once while they are searched


class MappedStore(Store):
    """Keys and values in memory-mapped files, searched block by block: as large as a disk, with little in memory.

    Entry e of a row lies in slot e mod (size + spare) of its files, and the counts are committed after the entries: a
    process that is killed, whenever that is, leaves the last committed state. A durable store also waits for the disk,
    so that the same holds of a machine that stops, and keeps a digest of each entry: what is found and is not what was
    written is a `Problem`. At most TILE_BYTES of keys, and what one search finds, stay in memory.
    """

    def __init__(self, folder: Path, durable: bool):
        self.folder, self.durable = folder, durable
        self._lock = weakref.finalize(self, os.close, locked(folder))
        try:
            self.shape, data = described(folder)
            self.size = self.shape.size
            self._use(MappedData(data, self.shape, durable))
            self.written = self._data.counts.read()
        except Problem:
            self.close()
            raise
        for other in folder.glob("data-*"):
            if other != data:
                shutil.rmtree(other)  # a compaction that was cut short

    @classmethod
    def create(cls, folder: Path, shape: StoreShape) -> "MappedStore":
        """An empty store that stays, in a folder that holds nothing yet."""
        if folder.exists() and any(folder.iterdir()):
            raise Problem(f"{folder}: there is something already; give a new folder, or open the store that is there")
        with told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)
        begin(folder, shape)
        describe(folder, shape)
        return cls(folder, durable=True)

    @classmethod
    def open(cls, folder: Path, verify: bool = False) -> "MappedStore":
        """The store that was made in `folder`, as it was when it was last written.

        `verify` reads all that it holds and holds it against the digests.
        """
        described(folder)
        store = cls(folder, durable=True)
        if verify:
            store.verify()
        return store

    @classmethod
    def scratch(cls, place: Path, shape: StoreShape) -> "MappedStore":
        """An empty store in a folder of its own in `place`, removed with its process."""
        folder = scratch(place, shape)
        store = cls(folder, durable=False)
        weakref.finalize(store, shutil.rmtree, folder, ignore_errors=True)
        return store

    def close(self) -> None:
        """Let others open it."""
        self._lock()

    def verify(self) -> None:
        """Read all that is held; a `Problem` where something is not what was written."""
        self._data.verify(self.written)

    def _use(self, data: MappedData) -> None:
        self._data = data
        self.keys, self.values, self.positions = (data.held[name] for name in ("keys", "values", "positions"))

    def find(
        self,
        q: Float[Tensor, "b h t d"],
        top_k: int,
        rows: Int[Tensor, " b"],
        before: Int[Tensor, "b t"] | None = None,
    ) -> Neighbours | None:
        if not bool(self.written.any()):
            return None
        self._data.drop()  # what the search before this one found
        asked = q.cpu()
        found = [
            self._searched(asked[at], top_k, row, None if before is None else before[at])
            for at, row in enumerate(rows.tolist())
        ]
        scores, ids = (torch.stack(each) for each in zip(*found, strict=True))
        there = scores > -torch.inf
        for at, row in enumerate(rows.tolist()) if self.durable else ():
            for head in range(self.shape.heads):
                self._data.check(row, head, torch.unique(ids[at, head][there[at, head]]))
        read = Neighbours(self.keys, self.values, self.positions, rows, ids, there, scores, write_count(self.keys))
        return read if q.device.type == "cpu" else brought(read, q.device)

    def _searched(self, q: Tensor, k: int, row: int, limit: Tensor | None) -> tuple[Tensor, Tensor]:
        """Scores and slots of the best entries of a row for queries [h t d]."""
        k = min(k, self.size)
        filled = min(int(self.written[row]), self.shape.slots)
        if not filled:
            return q.new_full((*q.shape[:2], k), -torch.inf), torch.zeros(*q.shape[:2], k, dtype=torch.long)
        return best_of(self._blocks(q, k, row, filled, limit), k)

    def _blocks(
        self, q: Tensor, k: int, row: int, filled: int, limit: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        shape, file = self.shape, self._data.files["keys"]
        step = max(1024, TILE_BYTES // (shape.heads * shape.dim * self.keys.element_size()))
        for start in range(0, filled, step):
            behind = min(start + step, filled)
            scores, ids = exact_search(q, self.keys[row, :, start:behind], k, self._valid(row, start, behind, limit))
            yield scores, ids + start
            for head in range(shape.heads):
                first = (row * shape.heads + head) * shape.slots
                file.drop((first + start) * shape.dim, (first + behind) * shape.dim)

    def _valid(self, row: int, start: int, behind: int, limit: Tensor | None) -> Bool[Tensor, "..."] | None:
        """Which of some slots hold an entry, for each query where some may see more than others; None for all."""
        written = int(self.written[row])
        if written <= self.size and limit is None:
            return None
        age = (written - 1 - torch.arange(start, behind)) % self.shape.slots
        held = age < min(written, self.size)
        return held if limit is None else held & (self.positions[row, start:behind] < limit[:, None])

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
        fresh = {"keys": keys.detach().cpu(), "values": values.detach().cpu(), "positions": positions.cpu()}
        done, lengths = torch.zeros_like(self.written), lengths.cpu()
        while bool((done < lengths).any()):
            for row, (first, length) in enumerate(zip(done.tolist(), lengths.tolist(), strict=True)):
                behind = min(length, first + self.shape.slots - self.size)
                self._data.put(row, int(self.written[row]), {name: x[row] for name, x in fresh.items()}, first, behind)
            step = (lengths - done).clamp(max=self.shape.slots - self.size)
            self.commit(self.written + step)
            done = done + step

    def commit(self, written: Int[Tensor, " b"]) -> None:
        """From now on, rows hold the last of so many entries, which are in the files."""
        self._data.commit(written)
        self.written = written
        self.keys[:0].zero_()  # counts as a write, though the file was written past the tensor

    def reset(self, rows: Bool[Tensor, " b"]) -> None:
        if bool(rows.any()):
            left = self.written.masked_fill(rows.cpu(), 0)
            self._data.counts.commit(left, self.durable)
            self.written = left

    def tensors(self) -> dict[str, Tensor]:
        self.verify()
        used = min(int(self.written.max()), self.shape.slots)
        kept = {
            "keys": self.keys[:, :, :used],
            "values": self.values[:, :, :used],
            "positions": self.positions[:, :used],
        }
        return {name: each.contiguous() for name, each in kept.items()} | {
            "written": self.written,
            "size": torch.tensor([self.size]),
        }

    def take(self, row: int, held: Mapping[str, Tensor], count: int, of: StoreShape) -> None:
        """Write what a row of a store of that shape holds in its slots; the count is yet to be committed."""
        self._data.take(row, held, count, of)

    def chosen(self, rows: Int[Tensor, " b2"]) -> "MappedStore":
        shape = StoreShape(len(rows), self.shape.heads, self.size, self.shape.dim, self.shape.dtype)
        twin = MappedStore.scratch(self.folder.parent, shape)
        self.verify()
        for at, row in enumerate(rows.tolist()):
            twin.take(at, self._data.of(row), int(self.written[row]), shape)
        twin.commit(self.written[rows])
        return twin

    def shuffled(self, seed: int) -> "MappedStore":
        twin = self.chosen(torch.arange(self.shape.rows))
        for row, written in enumerate(self.written.tolist()):
            count = min(written, self.size)
            slots = torch.arange(written - count, written) % self.shape.slots
            order = slots[dealt(seed, written, count)]
            for head in range(self.shape.heads):
                twin.values[row, head, slots] = self.values[row, head, order]
            twin.positions[row, slots] = self.positions[row, order]
        return twin

    def bytes_on_disk(self) -> int:
        """What the files take; slots that were never written take nothing."""
        return sum(512 * path.stat().st_blocks for path in self._data.folder.iterdir())

    def compact(self) -> None:
        """Give back the room of entries that are held no more; what is held, and where, stays as it is."""
        self.verify()
        old = self._data.folder
        name = f"data-{int(old.name.removeprefix('data-')) + 1}"
        try:
            begin(self.folder, self.shape, name, self.durable)
            fresh = MappedData(self.folder / name, self.shape, self.durable)
            for row, count in enumerate(self.written.tolist()):
                fresh.take(row, self._data.of(row), count, self.shape)
            fresh.commit(self.written)
            describe(self.folder, self.shape, name)
        finally:
            if described(self.folder)[1].name == name:
                self._use(fresh)
                shutil.rmtree(old, ignore_errors=True)
            else:
                shutil.rmtree(self.folder / name, ignore_errors=True)
