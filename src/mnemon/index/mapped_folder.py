"""The folder that a memory-mapped store lies in: what describes it, who has it open, and those that are removed."""

import contextlib
import importlib
import math
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from mnemon.config import Problem, digest_of, read_json, sync_folder, told, write_json
from mnemon.index.mapped_files import CountsFile, allocate

FORMAT = 2
SPARE = 1024  # slots beyond the size: what a write overwrites is no longer held, whenever it is cut short
SCRATCH = "mnemon-store-"
ORPHAN = 60.0  # seconds after which a store that nobody holds open is taken for one that a killed process left


@dataclass(frozen=True)
class StoreShape:
    """What a store was made for: rows, heads, entries a row, size of a head and number type."""

    rows: int
    heads: int
    size: int
    dim: int
    dtype: str

    @property
    def slots(self) -> int:
        """Entries a row that there is room for in the files."""
        return self.size + min(SPARE, self.size)

    def tensors(self, stays: bool) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Shape and number type of each file that is a tensor; digests of entries are kept of a store that stays."""
        entries, dtype = (self.rows, self.heads, self.slots, self.dim), getattr(torch, self.dtype)
        digests = {"digests": (entries[:3], torch.long)} if stays else {}
        return {
            "keys": (entries, dtype),
            "values": (entries, dtype),
            "positions": ((self.rows, self.slots), torch.long),
        } | digests


def begin(folder: Path, shape: StoreShape, data: str = "data-0", stays: bool = True) -> None:
    """Files of a store that holds nothing, not described yet; what tells damage is kept for one that stays."""
    place = folder / data
    with told(place):
        place.mkdir()
    for name, (size, dtype) in shape.tensors(stays).items():
        allocate(place / name, math.prod(size) * dtype.itemsize)
    CountsFile.make(place / "counts", shape.rows)
    if stays:
        with told(place):
            sync_folder(place)


def describe(folder: Path, shape: StoreShape, data: str = "data-0") -> None:
    """From now on, this is what the folder holds, and where."""
    said = {"format": FORMAT, **vars(shape), "data": data}
    write_json(folder / "store.json", {**said, "sha256": digest_of(said)})


def described(folder: Path) -> tuple[StoreShape, Path]:
    """What the store in a folder was made for, and the folder of its files."""
    path = folder / "store.json"
    if not path.exists():
        raise Problem(f"{folder}: there is no store in this folder")
    said = read_json(path)
    found = said.get("format") if isinstance(said, dict) else None
    if isinstance(found, int) and found != FORMAT:
        raise Problem(f"{folder}: a store of format {found}, where this version reads {FORMAT}")
    if found is None or said.pop("sha256", None) != digest_of(said):
        raise Problem(f"{path}: damaged: its content is not what its sha256 says; put a copy in its place")
    return StoreShape(**{name: said[name] for name in StoreShape.__dataclass_fields__}), folder / said["data"]


def scratch(place: Path, shape: StoreShape) -> Path:
    """A folder with an empty store, for its maker to remove; what killed processes left beside it goes."""
    for left in place.glob(f"{SCRATCH}*"):
        _remove_orphan(left)
    with told(place):
        folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=place))
    begin(folder, shape, stays=False)
    describe(folder, shape)
    return folder


def _remove_orphan(folder: Path) -> None:
    with contextlib.suppress(OSError, Problem):
        if time.time() - folder.stat().st_mtime > ORPHAN:
            os.close(locked(folder))
            shutil.rmtree(folder, ignore_errors=True)


def locked(folder: Path) -> int:
    """A handle that keeps other processes, and other stores of this one, from opening the folder."""
    fcntl = importlib.import_module("fcntl")  # needs a POSIX system, as a saved memory does
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise Problem(f"{folder}: this store is open already, here or in another process; close it there") from None
    return handle
