import os
import shutil
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.config import Problem, sync_folder
from mnemon.index.base import Store, dealt
from mnemon.index.exact import exact_search
from mnemon.index.fetched import best_of, brought
from mnemon.index.mapped_files import CountsFile, MappedFile
from mnemon.index.mapped_folder import StoreShape, begin, describe, described, locked, scratch
from mnemon.ops import Neighbours, write_count

TILE_BYTES = 1 << 26  # keys of one row that are in memory at once while they are searched


class MappedStore(Store):
    """Keys and values in memory-mapped files, searched block by block: as large as a disk, with little in memory.

    Entry e of a row lies in slot e mod (size + spare) of its files, and the counts are committed after the entries: a
    process that is killed, whenever that is, leaves the last committed state. A durable store also waits for the disk,
    so that the same holds of a machine that stops. At most TILE_BYTES of keys, and what one search finds, stay in
    memory.
    """

    def __init__(self, folder: Path, durable: bool):
        self.folder, self.durable = folder, durable
        self._lock = weakref.finalize(self, os.close, locked(folder))
        self.shape, data = described(folder)
        self.size = self.shape.size
        for other in folder.glob("data-*"):
            if other != data:
                shutil.rmtree(other)  # a compaction that was cut short
        self._open(data)

    @classmethod
    def create(cls, folder: Path, shape: StoreShape) -> "MappedStore":
        """An empty store that stays, in a folder that holds nothing yet."""
        if folder.exists() and any(folder.iterdir()):
            raise Problem(f"{folder}: there is something already; give a new folder, or open the store that is there")
        folder.mkdir(parents=True, exist_ok=True)
        begin(folder, shape)
        describe(folder, shape)
        return cls(folder, durable=True)

    @classmethod
    def open(cls, folder: Path) -> "MappedStore":
        """The store that was made in `folder`, as it was when it was last written."""
        described(folder)
        return cls(folder, durable=True)

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

    def _open(self, data: Path) -> None:
        shape, dtype = self.shape, getattr(torch, self.shape.dtype)
        entries = (shape.rows, shape.heads, shape.slots, shape.dim)
        self._data = data
        self._files = {name: MappedFile(data / name, entries, dtype) for name in ("keys", "values")}
        self._files["positions"] = MappedFile(data / "positions", (shape.rows, shape.slots), torch.long)
        self._counts = CountsFile(data / "counts", shape.rows)
        self.keys, self.values, self.positions = (file.tensor for file in self._files.values())
        self.written = self._counts.read()

    def find(
        self,
        q: Float[Tensor, "b h t d"],
        top_k: int,
        rows: Int[Tensor, " b"],
        before: Int[Tensor, "b t"] | None = None,
    ) -> Neighbours | None:
        if not bool(self.written.any()):
            return None
        for file in self._files.values():
            file.drop()  # what the search before this one found
        asked = q.cpu()
        found = [
            self._searched(asked[at], top_k, row, None if before is None else before[at])
            for at, row in enumerate(rows.tolist())
        ]
        scores, ids = (torch.stack(each) for each in zip(*found, strict=True))
        there = scores > -torch.inf
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
        shape, file = self.shape, self._files["keys"]
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
                self._put(row, int(self.written[row]), {name: x[row] for name, x in fresh.items()}, first, behind)
            step = (lengths - done).clamp(max=self.shape.slots - self.size)
            self.commit(self.written + step)
            done = done + step

    def _put(self, row: int, entry: int, fresh: Mapping[str, Tensor], first: int, behind: int) -> None:
        """Write entries `first` to `behind` of `fresh` [h n d] as a row's entries from `entry` on."""
        while first < behind:
            slot = entry % self.shape.slots
            run = min(behind - first, self.shape.slots - slot)
            part = slice(first, first + run)
            for name in ("keys", "values"):
                for head, data in enumerate(fresh[name][:, part]):
                    self._files[name].put(data.to(self.keys.dtype), (row, head, slot))
            self._files["positions"].put(fresh["positions"][part], (row, slot))
            first, entry = first + run, entry + run

    def commit(self, written: Int[Tensor, " b"]) -> None:
        """From now on, rows hold the last of so many entries, which are in the files."""
        if self.durable:
            for file in self._files.values():
                file.sync()
        self._counts.commit(written, self.durable)
        self.written = written
        self.keys[:0].zero_()  # counts as a write, though the file was written past the tensor

    def reset(self, rows: Bool[Tensor, " b"]) -> None:
        if bool(rows.any()):
            self._counts.commit(self.written.masked_fill(rows.cpu(), 0), self.durable)
            self.written = self.written.masked_fill(rows.cpu(), 0)

    def tensors(self) -> dict[str, Tensor]:
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
        entry = max(0, count - of.size)
        while entry < count:
            slot = entry % of.slots
            run = min(count - entry, of.slots - slot)
            self._put(row, entry, held, slot, slot + run)
            entry += run

    def chosen(self, rows: Int[Tensor, " b2"]) -> "MappedStore":
        shape = StoreShape(len(rows), self.shape.heads, self.size, self.shape.dim, self.shape.dtype)
        twin = MappedStore.scratch(self.folder.parent, shape)
        held = {"keys": self.keys, "values": self.values, "positions": self.positions}
        for at, row in enumerate(rows.tolist()):
            twin.take(at, {name: x[row] for name, x in held.items()}, int(self.written[row]), shape)
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
        return sum(512 * path.stat().st_blocks for path in self._data.iterdir())

    def compact(self) -> None:
        """Give back the room of entries that are held no more; what is held, and where, stays as it is."""
        held = {"keys": self.keys, "values": self.values, "positions": self.positions}
        written, old = self.written, self._data
        fresh = self.folder / f"data-{int(old.name.removeprefix('data-')) + 1}"
        begin(self.folder, self.shape, fresh.name)
        self._open(fresh)
        for row, count in enumerate(written.tolist()):
            self.take(row, {name: x[row] for name, x in held.items()}, count, self.shape)
        durable, self.durable = self.durable, True
        self.commit(written)
        self.durable = durable
        sync_folder(fresh)
        describe(self.folder, self.shape, fresh.name)
        shutil.rmtree(old)
