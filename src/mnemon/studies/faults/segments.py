"""What is written to a store, step by step, and what each row then holds; and how that is found in a store."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mnemon.index import MappedStore, MilvusStore, Store, StoreShape

ROWS, HEADS, DIM, SIZE = 3, 2, 4, 24
SHAPE = StoreShape(ROWS, HEADS, SIZE, DIM, "float32")
OTHER = 2  # the row that only a second writer writes to, once
OTHERS = 6  # entries that it writes

Held = tuple[tuple[int, ...], ...]  # stream positions by row, in their order


@dataclass(frozen=True)
class Write:
    """A segment: so many entries for each row."""

    lengths: tuple[int, ...]

    def apply(self, store: Store, counts: Sequence[int]) -> None:
        """Write them; each row has had so many tokens before."""
        keys, values, positions = segment(counts, max(self.lengths))
        store.write(keys, values, positions, torch.tensor(self.lengths))


@dataclass(frozen=True)
class Reset:
    """Rows that forget everything."""

    rows: tuple[bool, ...]

    def apply(self, store: Store, counts: Sequence[int]) -> None:
        """Reset them."""
        store.reset(torch.tensor(self.rows))


@dataclass(frozen=True)
class Forget:
    """A document that is forgotten, where a store can: positions of a row; elsewhere the files are compacted."""

    row: int
    first: int
    behind: int

    def apply(self, store: Store, counts: Sequence[int]) -> None:
        """Forget it."""
        if isinstance(store, MilvusStore):
            store.forget(self.row, self.first, self.behind)
        elif isinstance(store, MappedStore):
            store.compact()


Step = Write | Reset | Forget
# Rows fill, wrap around more than once, are reset while they are full, and fill again.
STEPS: tuple[Step, ...] = (
    Write((10, 4, 0)),
    Write((8, 12, 0)),
    Write((20, 1, 0)),
    Reset((False, True, False)),
    Write((3, 9, 0)),
    Forget(0, 25, 33),
    Write((1, 24, 0)),
    Write((24, 2, 0)),
    Forget(1, 40, 49),
    Reset((True, False, False)),
    Write((5, 17, 0)),
    Write((2, 1, 0)),
)


def counts_before(step: int) -> list[int]:
    """How many tokens each row has had before a step."""
    done = [each.lengths for each in STEPS[:step] if isinstance(each, Write)]
    return [sum(each[row] for each in done) for row in range(ROWS)]


def states(forgets: bool) -> list[Held]:
    """What rows hold before the first step, after it, and so on, where documents are forgotten and where not."""
    # Entries as they were written, with None for one that was forgotten: it still counts among the last `SIZE`.
    rows: list[list[int | None]] = [[] for _ in range(ROWS)]
    found = []
    for at, step in enumerate((*STEPS, None)):
        found.append(tuple(tuple(each for each in row[-SIZE:] if each is not None) for row in rows))
        counts = counts_before(at)
        if isinstance(step, Write):
            for row, length in enumerate(step.lengths):
                rows[row] += range(counts[row], counts[row] + length)
        elif isinstance(step, Reset):
            rows = [[] if gone else row for row, gone in zip(rows, step.rows, strict=True)]
        elif isinstance(step, Forget) and forgets:
            gone = range(step.first, step.behind)
            rows[step.row] = [None if each in gone else each for each in rows[step.row]]
    return found


def entry(row: int, position: int) -> tuple[Tensor, Tensor]:
    """Key and value [h d] that a row has at a position."""
    draw = torch.Generator().manual_seed(1 + row + ROWS * position)
    key, value = torch.randn(2, HEADS, DIM, generator=draw)
    return key, value


def segment(first: Sequence[int], n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Keys and values [b h n d] and positions [b n] of `n` tokens of each row from `first` on."""
    positions = torch.tensor(first)[:, None] + torch.arange(n)
    pairs = [[entry(row, at) for at in each] for row, each in enumerate(positions.tolist())]
    keys, values = (torch.stack([torch.stack([pair[i] for pair in row], 1) for row in pairs]) for i in range(2))
    return keys, values, positions


def go(store: Store, done: Callable[[int], None], begin: int = 0) -> None:
    """The steps from `begin` on; each is acknowledged."""
    for at in range(begin, len(STEPS)):
        STEPS[at].apply(store, counts_before(at))
        done(at + 1)


def other(store: Store) -> None:
    """What a second writer writes."""
    lengths = tuple(OTHERS if row == OTHER else 0 for row in range(ROWS))
    Write(lengths).apply(store, [0] * ROWS)


def held(store: Store) -> tuple[Held, list[str]]:
    """What is found by a search for everything; and what is wrong with it: keys and values that are not its own."""
    found = store.find(torch.ones(ROWS, HEADS, 1, DIM), SIZE, torch.arange(ROWS))
    if found is None:
        return ((),) * ROWS, []
    places, rows, wrong = found.places(), [], []
    for row in range(ROWS):
        heads = []
        for head in range(HEADS):
            valid = found.valid[row, head, 0]
            there, ids = places[row, head, 0][valid].tolist(), found.ids[row, head, 0][valid].tolist()
            at = int(found.rows[row])
            for position, i in zip(there, ids, strict=True):
                key, value = (each[head] for each in entry(row, position))
                if not torch.equal(found.keys[at, head, i], key) or not torch.equal(found.values[at, head, i], value):
                    wrong.append(f"row {row}, head {head}: position {position} has another key or value")
            heads.append(tuple(sorted(there)))
        if len(set(heads)) > 1:
            wrong.append(f"row {row}: heads hold different entries")
        rows.append(heads[0])
    return tuple(rows), wrong


def differs(found: Held, wanted: Held) -> str:
    """What is lost, what is back, what is twice."""
    parts = []
    for row, (here, there) in enumerate(zip(found, wanted, strict=True)):
        lost, back = sorted({*there} - {*here}), sorted({*here} - {*there})
        twice = sorted({each for each in here if here.count(each) > 1})
        said = {"lost": lost, "not acknowledged, or back": back, "twice": twice}
        parts += [f"row {row}: {name}: {each}" for name, each in said.items() if each]
    return "; ".join(parts)
