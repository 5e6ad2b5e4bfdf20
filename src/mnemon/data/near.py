"""Near duplicates between splits: no file may stand, for half of its lines, on another side as well."""

import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

SHARE = 0.5
RUN = 3


def line_runs(text: str) -> NDArray[np.uint64]:
    """Hashes of all runs of three lines that hold something, without their indentation; sorted, each once."""
    lines = np.array([zlib.crc32(line) for line in map(bytes.strip, text.encode().split(b"\n")) if line], np.uint64)
    if len(lines) < RUN:
        return np.unique(lines)
    # A polynomial in an odd number, modulo 2^64: cheap, and the order of the lines counts.
    runs = np.zeros(len(lines) - RUN + 1, np.uint64)
    for k in range(RUN):
        runs = runs * np.uint64(0x9E3779B97F4A7C15) + lines[k : len(lines) - RUN + 1 + k]
    return np.unique(runs)


def overlapping(files: Sequence[NDArray[np.uint64]], others: Iterable[NDArray[np.uint64]]) -> NDArray[np.bool_]:
    """For each file whether at least half of its runs stand somewhere in `others`."""
    parts = list(others)
    seen = np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.uint64)
    sizes = np.array([len(runs) for runs in files], np.int64)
    if not len(seen) or not sizes.sum():
        return np.zeros(len(files), bool)
    found = np.isin(np.concatenate(files), seen)
    shared = np.add.reduceat(np.append(found, False).astype(np.int64), np.minimum(np.cumsum(sizes) - sizes, len(found)))
    return (sizes > 0) & (shared >= SHARE * sizes)


def straddling(texts: Sequence[str], sides: Sequence[str]) -> list[bool]:
    """Which files to leave out so that no file has a near duplicate on another side.

    Train gives way to valid and test, and valid to test; a held-out file that is half contained in what is left of
    train (a small file copied into a large one) is left out as well. Near duplicates on the same side stay.
    """
    runs = [line_runs(text) for text in texts]
    out = [False] * len(texts)

    def members(*names: str) -> list[int]:
        return [i for i, side in enumerate(sides) if side in names and not out[i]]

    for first, second in (("train", ("valid", "test")), ("valid", ("test",))):
        for losing, other in (((first,), second), (second, (first,))):
            candidates = members(*losing)
            hits = overlapping([runs[i] for i in candidates], (runs[i] for i in members(*other)))
            for i, hit in zip(candidates, hits, strict=True):
                out[i] = bool(hit)
    return out
