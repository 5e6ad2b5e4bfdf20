"""Streams that are written to stores of every kind, and what each store should still hold."""

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mnemon.index import Store, StoreKind

ROWS, HEADS, DIM = 3, 2, 4
NEVER = 10_000  # a position that no test writes
LITE = Path(tempfile.mkdtemp(prefix="mnemon-tests-")) / "memory.db"  # a local Milvus
atexit.register(shutil.rmtree, LITE.parent, ignore_errors=True)


def entry(row: int, head: int, count: int) -> Tensor:
    """A value that tells its row, its head and which token of the stream it belongs to."""
    return torch.tensor([row, head, count, -count], dtype=torch.float32)


def unit(row: int, head: int, count: int) -> Tensor:
    """A key that is its own nearest neighbour."""
    draw = torch.Generator().manual_seed(1 + row + ROWS * (head + HEADS * count))
    return torch.nn.functional.normalize(torch.randn(DIM, generator=draw), dim=0)


def batch(made: object, first: Sequence[int], n: int) -> Tensor:
    """[rows heads n dim]: entry j of row b is token first[b] + j of its stream."""
    assert callable(made)
    rows = [[[made(b, h, f + j) for j in range(n)] for h in range(HEADS)] for b, f in enumerate(first)]
    return torch.stack([torch.stack([torch.stack(head) for head in row]) for row in rows])


class Stream:
    """Rows that write unique keys and values to a store, and a list of what each should still hold."""

    def __init__(self, kind: StoreKind, size: int, tolerance: float = 0.0) -> None:
        self.size, self.tolerance = size, tolerance
        self.store: Store = kind.empty(ROWS, HEADS, size, DIM, like=torch.empty(0))
        self.count = [0] * ROWS
        self.held: list[list[int]] = [[] for _ in range(ROWS)]

    def write(self, lengths: Sequence[int]) -> None:
        n = max(lengths) + 1  # one padded token behind the longest
        positions = torch.tensor(self.count)[:, None] + torch.arange(n)
        keys, values = (batch(made, self.count, n) for made in (unit, entry))
        for b, length in enumerate(lengths):
            keys[b, :, length:], values[b, :, length:] = torch.nan, torch.nan
        self.store.write(keys, values, positions, torch.tensor(lengths), torch.zeros(ROWS, dtype=torch.long))
        for b, length in enumerate(lengths):
            self.held[b] = [*self.held[b], *range(self.count[b], self.count[b] + length)][-self.size :]
            self.count[b] += length

    def reset(self, rows: Sequence[bool]) -> None:
        self.store.reset(torch.tensor(rows))
        for b, forget in enumerate(rows):
            self.held[b] = [] if forget else self.held[b]

    def check(self, store: Store | None = None, rows: Sequence[int] = tuple(range(ROWS))) -> None:
        """Row i of the store (default: this stream's) holds what row `rows[i]` of this stream should hold."""
        store = store or self.store
        for at, b in enumerate(rows):
            self._check_row(store, at, b)

    def _check_row(self, store: Store, at: int, b: int) -> None:
        """Every key finds itself, with its own value and position; what is not held is never returned."""
        held = self.held[b]
        asked = held or [NEVER]
        q = torch.stack([torch.stack([unit(b, h, c) for c in asked]) for h in range(HEADS)])[None]
        found = store.find(q, self.size + 2, torch.tensor([at]))
        if found is None:
            assert not held
            return
        places = found.places()
        for h in range(HEADS):
            for t, c in enumerate(asked):
                ids, valid = found.ids[0, h, t], found.valid[0, h, t]
                assert sorted(places[0, h, t][valid].tolist()) == held
                assert bool((found.scores[0, h, t][valid].diff() <= 0).all()), "best first"
                if t == 0 and held:  # every query is given all entries
                    row, got = int(found.rows[0]), places[0, h, t][valid].tolist()
                    self._close(found.keys[row, h, ids[valid]], torch.stack([unit(b, h, place) for place in got]))
                    self._close(found.values[row, h, ids[valid]], torch.stack([entry(b, h, place) for place in got]))
                if held and not self.tolerance:
                    assert int(places[0, h, t, 0]) == c, "a key finds itself first"
                    self._close(found.scores[0, h, t, 0], torch.tensor(1.0))

    def _close(self, got: Tensor, wanted: Tensor) -> None:
        tolerance = max(self.tolerance, 1e-6)
        torch.testing.assert_close(got.float(), wanted, rtol=tolerance, atol=tolerance * float(wanted.abs().max()))
