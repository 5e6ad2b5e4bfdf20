"""Files that are tensors: read through a mapping of which few pages stay in memory, written past it."""

import contextlib
import errno
import math
import mmap
import os
import struct
import sys
import weakref
import zlib
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from mnemon.config import Problem, told

COUNTS = struct.Struct("<8sQI")  # magic, how often it was written, checksum of the counts behind it
MAGIC = b"mnemonct"


class MappedFile:
    """A tensor of a fixed shape in a file, which takes room on the disk as it is written.

    Reading goes through `tensor`, writing through `put`: a full disk is then an error and no signal that ends the
    process. Pages that were read are dropped by `drop`, so that what stays in memory is bounded by the caller.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: torch.dtype):
        self.path, self.shape = path, shape
        self.width = math.prod(shape) * dtype.itemsize
        self.file = _opened(self, path)
        there = os.fstat(self.file).st_size
        if there != self.width:
            raise Problem(f"{path}: {there:,} bytes where {self.width:,} belong: the file is damaged")
        self.map = mmap.mmap(self.file, self.width)
        self.tensor = torch.frombuffer(self.map, dtype=dtype).view(shape)

    def put(self, data: Tensor, at: tuple[int, ...]) -> None:
        """Write `data`, which is contiguous in the file from the element `at` on (leading places; the rest are 0)."""
        first, stride = 0, math.prod(self.shape)
        for place, length in zip(at, self.shape, strict=False):
            stride //= length
            first += place * stride
        room = memoryview(data.contiguous().flatten().view(torch.uint8).numpy().data)
        offset = first * data.element_size()
        while len(room):
            try:
                done = os.pwrite(self.file, room, offset)
            except OSError as error:
                raise Problem(
                    f"{self.path}: cannot be written ({error.strerror}); what was stored before is kept"
                ) from None
            room, offset = room[done:], offset + done

    def drop(self, first: int = 0, behind: int | None = None) -> None:
        """Drop the pages of the elements from `first` on: they stay in the file, and are read again when asked for."""
        size = self.tensor.element_size()
        start = first * size // mmap.PAGESIZE * mmap.PAGESIZE
        end = self.width if behind is None else behind * size
        if sys.platform == "linux" and end > start:
            self.map.madvise(mmap.MADV_DONTNEED, start, end - start)

    def sync(self) -> None:
        """Bring what was written to the disk."""
        with told(self.path):
            os.fdatasync(self.file)


class CountsFile:
    """How much each row ever wrote: committed after the entries themselves, in two places one after the other.

    A write that a crash cut short leaves the other place whole. What was committed stands in both, so that damage to
    one of them takes nothing back.
    """

    def __init__(self, path: Path, rows: int):
        self.path, self.rows = path, rows
        self.turn = self.older = 0  # the place that is the older one, or damaged
        self.width = COUNTS.size + 8 * rows
        self.file = _opened(self, path)

    @classmethod
    def make(cls, path: Path, rows: int) -> None:
        """A file that says that nothing was written."""
        allocate(path, 2 * (COUNTS.size + 8 * rows))
        cls(path, rows).commit(torch.zeros(rows, dtype=torch.long), sync=True)

    def read(self) -> Int[Tensor, " b"]:
        """The counts that were committed last."""
        found = [self._place(os.pread(self.file, self.width, place * self.width)) for place in range(2)]
        whole = [each for each in found if each is not None]
        if not whole:
            raise Problem(f"{self.path}: neither of its two counts is whole: the store cannot be opened")
        self.turn, counts = max(whole, key=lambda each: each[0])
        turns = [-1 if each is None else each[0] for each in found]
        self.older = turns.index(min(turns))
        return counts

    def _place(self, said: bytes) -> tuple[int, Tensor] | None:
        if len(said) < self.width:
            return None
        magic, turn, check = COUNTS.unpack_from(said)
        counts = said[COUNTS.size :]
        if magic != MAGIC or check != _checksum(turn, counts):
            return None
        return turn, torch.frombuffer(bytearray(counts), dtype=torch.long)

    def commit(self, written: Int[Tensor, " b"], sync: bool) -> None:
        """From now on, this is how much was written."""
        counts = written.numpy().astype("<i8").tobytes()
        said = COUNTS.pack(MAGIC, self.turn + 1, _checksum(self.turn + 1, counts)) + counts
        with told(self.path):
            self._put(said, sync)
        self.turn, self.older = self.turn + 1, 1 - self.older
        with contextlib.suppress(OSError):  # it is committed already; the next commit begins with this place
            self._put(said, sync)
            self.older = 1 - self.older

    def _put(self, said: bytes, sync: bool) -> None:
        if os.pwrite(self.file, said, self.older * self.width) < len(said):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if sync:
            os.fdatasync(self.file)


def allocate(path: Path, width: int) -> None:
    """A new file of that length, which takes room as it is written."""
    with told(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            os.ftruncate(handle, width)
        finally:
            os.close(handle)


def _opened(owner: object, path: Path) -> int:
    """A handle to read and write the file, closed with its owner."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError as error:
        raise Problem(f"{path}: cannot be opened ({error.strerror}): the store is damaged") from None
    weakref.finalize(owner, os.close, handle)
    return handle


def _checksum(turn: int, counts: bytes) -> int:
    return zlib.crc32(counts, turn & 0xFFFFFFFF)
