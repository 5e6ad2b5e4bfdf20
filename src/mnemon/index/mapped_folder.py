"""The folder that a memory-mapped store lies in: what describes it, who has it open, and those that are removed."""

import contextlib
import importlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from mnemon.config import Problem, read_json, write_json
from mnemon.index.mapped_files import CountsFile

FORMAT = 1
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


def begin(folder: Path, shape: StoreShape, data: str = "data-0") -> None:
    """Files of a store that holds nothing, not described yet."""
    (folder / data).mkdir()
    CountsFile(folder / data / "counts", shape.rows).commit(torch.zeros(shape.rows, dtype=torch.long), sync=True)


def describe(folder: Path, shape: StoreShape, data: str = "data-0") -> None:
    """From now on, this is what the folder holds, and where."""
    write_json(folder / "store.json", {"format": FORMAT, **vars(shape), "data": data})


def described(folder: Path) -> tuple[StoreShape, Path]:
    """What the store in a folder was made for, and the folder of its files."""
    if not (folder / "store.json").exists():
        raise Problem(f"{folder}: there is no store in this folder")
    said = read_json(folder / "store.json")
    if said.get("format") != FORMAT:
        raise Problem(f"{folder}: a store of format {said.get('format')}, where this version reads {FORMAT}")
    return StoreShape(**{name: said[name] for name in StoreShape.__dataclass_fields__}), folder / said["data"]


def scratch(place: Path, shape: StoreShape) -> Path:
    """A folder with an empty store, for its maker to remove; what killed processes left beside it goes."""
    for left in place.glob(f"{SCRATCH}*"):
        _remove_orphan(left)
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=place))
    begin(folder, shape)
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
