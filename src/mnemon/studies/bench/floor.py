"""The floor: the time that the operations and the traffic of a piece of work would take at this machine's own rates."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from mnemon.studies.bench.turns import seconds

REPEATS = 5


@dataclass(frozen=True)
class Work:
    """`flops`: floating point operations, a multiplication and its addition being two; `bytes`: read and written."""

    flops: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.bytes + other.bytes)


@dataclass(frozen=True)
class Rates:
    """Operations and bytes a second, as measured."""

    flops: float
    bytes: float

    def floor(self, work: Work) -> float:
        """Seconds that the work takes at least where operations and traffic overlap perfectly."""
        return max(work.flops / self.flops, work.bytes / self.bytes)


def product_rate(rows: int, inner: int, columns: int, dtype: torch.dtype, repeats: int = REPEATS) -> float:
    """Operations a second of a [rows inner] by [inner columns] product, in processor time, on the threads that are set.

    The right factor is stored as [columns inner], as keys and weights are.
    """
    draw = torch.Generator().manual_seed(0)
    left, right = (torch.randn(n, inner, generator=draw).to(dtype) for n in (rows, columns))
    room = torch.empty(rows, columns, dtype=dtype)
    return 2.0 * rows * inner * columns / _typical(lambda: torch.mm(left, right.T, out=room), repeats)


def copy_rate(size: int = 1 << 28, repeats: int = REPEATS) -> float:
    """Bytes a second, read and written, of a copy from `size` bytes to as many others."""
    source, target = torch.ones(size, dtype=torch.uint8), torch.zeros(size, dtype=torch.uint8)
    return 2.0 * size / _typical(lambda: target.copy_(source), repeats)


def _typical(act: Callable[[], object], repeats: int) -> float:
    act()
    return median(seconds(act) for _ in range(repeats))
