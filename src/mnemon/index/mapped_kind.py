import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from mnemon.config import Problem
from mnemon.index.base import StoreKind
from mnemon.index.mapped import MappedStore
from mnemon.index.mapped_folder import StoreShape


@dataclass(frozen=True)
class MappedKind(StoreKind):
    """Stores on disk, in `folder` (default: the system's folder for temporary files).

    They are removed with the process that made them, like any memory that a model reads into; `MappedStore.create`
    makes one that stays.
    """

    folder: str = ""

    def check(self) -> None:
        place = self._place()
        if not place.is_dir() or not os.access(place, os.W_OK):
            raise Problem(f"index mmap: folder {self.folder!r} is none that can be written to: make it first")

    def reach(self, dim: int) -> None:
        self.check()

    def empty(self, rows: int, heads: int, size: int, dim: int, like: Tensor) -> "MappedStore":
        return MappedStore.scratch(
            self._place(), StoreShape(rows, heads, size, dim, str(like.dtype).removeprefix("torch."))
        )

    def loaded(self, tensors: Mapping[str, Tensor], size: int) -> "MappedStore":
        keys, written, held = tensors["keys"], tensors["written"], int(tensors["size"][0])
        size = held if int(written.max()) > held else max(held, size)
        b, h, _, d = keys.shape
        made = self.empty(b, h, size, d, like=keys)
        old = {name: tensors[name].cpu() for name in ("keys", "values", "positions")}
        for row, count in enumerate(written.tolist()):
            made.take(row, {name: x[row] for name, x in old.items()}, count, replace(made.shape, size=held))
        made.commit(written.cpu())
        return made

    def _place(self) -> Path:
        return Path(self.folder or tempfile.gettempdir())
