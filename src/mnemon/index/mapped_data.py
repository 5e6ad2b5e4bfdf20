"""The files of a memory-mapped store: its entries, what tells damage to them, and how many were written."""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from mnemon.config import Problem
from mnemon.index.mapped_digests import digests
from mnemon.index.mapped_files import CountsFile, MappedFile
from mnemon.index.mapped_folder import StoreShape

CHECKED = 4096  # entries of a head that are held against their digests at once


class MappedData:
    """Entries in `folder`: entry e of a row lies in slot e mod slots. Nothing is acknowledged before `commit`.

    Of a store that stays, each row, head and slot has a digest, and `commit` waits for the disk.
    """

    def __init__(self, folder: Path, shape: StoreShape, stays: bool):
        self.folder, self.shape, self.stays = folder, shape, stays
        self.files = {name: MappedFile(folder / name, *about) for name, about in shape.tensors(stays).items()}
        self.held = {name: file.tensor for name, file in self.files.items()}
        self.counts = CountsFile(folder / "counts", shape.rows)

    def put(self, row: int, entry: int, fresh: Mapping[str, Tensor], first: int, behind: int) -> None:
        """Write entries `first` to `behind` of `fresh` [h n d] as a row's entries from `entry` on."""
        while first < behind:
            slot = entry % self.shape.slots
            run = min(behind - first, self.shape.slots - slot)
            part = slice(first, first + run)
            keys, values = (fresh[name][:, part].to(self.held["keys"].dtype) for name in ("keys", "values"))
            positions = fresh["positions"][part]
            for head in range(self.shape.heads):
                self.files["keys"].put(keys[head], (row, head, slot))
                self.files["values"].put(values[head], (row, head, slot))
                if self.stays:
                    said = digests(keys[head], values[head], positions)
                    self.files["digests"].put(said, (row, head, slot))
            self.files["positions"].put(positions, (row, slot))
            first, entry = first + run, entry + run

    def take(self, row: int, held: Mapping[str, Tensor], count: int, of: StoreShape) -> None:
        """Write what a row of a store of that shape holds in its slots; the count is yet to be committed."""
        entry = max(0, count - of.size)
        while entry < count:
            slot = entry % of.slots
            run = min(count - entry, of.slots - slot)
            self.put(row, entry, held, slot, slot + run)
            entry += run

    def commit(self, written: Int[Tensor, " b"]) -> None:
        """From now on, rows hold the last of so many entries, which are in the files."""
        if self.stays:
            for file in self.files.values():
                file.sync()
        self.counts.commit(written, self.stays)

    def of(self, row: int) -> dict[str, Tensor]:
        """What the slots of a row hold."""
        return {name: self.held[name][row] for name in ("keys", "values", "positions")}

    def check(self, row: int, head: int, slots: Int[Tensor, " n"]) -> None:
        """A `Problem` where an entry is not what was written, in a store that stays."""
        keys, values = (self.held[name][row, head, slots] for name in ("keys", "values"))
        said = digests(keys, values, self.held["positions"][row, slots])
        wrong = slots[said != self.held["digests"][row, head, slots]]
        if len(wrong):
            raise Problem(
                f"{self.folder}: damaged: row {row}, head {head}, slot {int(wrong[0])} is not what was written there; "
                "put a copy of the store in its place, or reset the row"
            )

    def verify(self, written: Int[Tensor, " b"]) -> None:
        """Hold all that rows hold after so many entries against the digests."""
        for row, count in enumerate(written.tolist()) if self.stays else ():
            entries = torch.arange(max(0, count - self.shape.size), count) % self.shape.slots
            for slots in torch.split(entries, CHECKED) if count else ():
                for head in range(self.shape.heads):
                    self.check(row, head, slots)
                self.drop()

    def drop(self) -> None:
        """Give back the memory of what was read."""
        for file in self.files.values():
            file.drop()
