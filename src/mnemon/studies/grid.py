"""Tables whose rows are models: which runs they need, in which order, within which time."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from mnemon.config import Problem
from mnemon.data import load_corpus, make_tokenizer
from mnemon.studies.cell import Cell, recorded, run_cell, tokenizer_file
from mnemon.studies.workers import Progress, run_all
from mnemon.train import RunConfig

Scale = Literal["tiny", "paper"]
Metric = Literal["perplexity", "bits_per_byte"]


@dataclass(frozen=True)
class Row:
    """One model of a table: its config without corpus and seed, and the memory size that it is evaluated with.

    `start`: the row whose weights it begins with. `against`: the row that its change is measured from. `published`:
    figures of the paper by its data set. `claimed` rows are trained with every seed.
    """

    name: str
    config: RunConfig
    memory: int = 0
    start: "Row | None" = None
    against: str | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    claimed: bool = False

    def cell(self, corpus: str, source: str, seed: int, steps: int | None = None) -> Cell:
        """The training of this row on one corpus with one seed."""
        every = min(self.config.train.checkpoint_every, 250)
        config = self.config.replace(
            data__source=source,
            train__seed=seed,
            train__checkpoint_every=every,
            train__keep=1,
            train__threads=1,
            train__steps=steps or self.config.train.steps,
        )
        start = None if self.start is None else self.start.cell(corpus, source, seed, steps)
        return Cell(config, corpus, start)


@dataclass(frozen=True)
class Claim:
    """`text` holds where the row `lower` has a lower loss than the row `higher`."""

    text: str
    lower: str
    higher: str


@dataclass(frozen=True)
class Grid:
    """A table: what it asks, its rows at a scale, what it claims, and the corpora that stand for the paper's."""

    title: str
    asks: str
    metric: Metric
    rows: Callable[[Scale], list[Row]]
    claims: Sequence[Claim] = ()
    stands_for: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Wanted:
    """A cell that a table needs, with the memory sizes to evaluate."""

    cell: Cell
    sizes: tuple[int, ...]


def wanted(rows: Sequence[Row], corpora: Mapping[str, str], seeds: int, steps: int | None = None) -> list[Wanted]:
    """Every cell of a table, most important first: corpus by corpus, claimed rows first, further seeds last."""
    places = [
        (number, seed > 0, not row.claimed, row, seed)
        for number in range(len(corpora))
        for row in rows
        for seed in range(seeds if row.claimed else 1)
    ]
    places.sort(key=lambda place: place[:3])
    names = list(corpora)
    found: dict[str, Wanted] = {}
    for number, _, _, row, seed in places:
        cell = row.cell(names[number], corpora[names[number]], seed, steps)
        sizes = found[cell.key].sizes if cell.key in found else ()
        found[cell.key] = Wanted(cell, tuple(dict.fromkeys((*sizes, row.memory))))
    return list(found.values())


def missing(cells: Sequence[Wanted], records: Path) -> list[Wanted]:
    """Those that no record answers yet."""
    return [each for each in cells if not _answered(each, records)]


def _answered(each: Wanted, records: Path) -> bool:
    record = recorded(records, each.cell)
    return record is not None and all(str(size) in record["memory"] for size in each.sizes)


def run_grid(
    cells: Sequence[Wanted], out: Path, records: Path, minutes: float, progress: Progress, workers: int | None = None
) -> int:
    """Run what is missing in the folder `out` for at most so many minutes; the number of cells still missing after it.

    Cells that begin with another's weights come after it, and their start is trained where its weights are not there.
    """
    end = time.time() + 60 * minutes
    open_cells = missing(cells, records)
    starts = {each.cell.start.key: Wanted(each.cell.start, ()) for each in open_cells if each.cell.start is not None}
    first = {each.cell.key: each for each in open_cells if each.cell.start is None}
    waves = [list((starts | first).values()), [each for each in open_cells if each.cell.start is not None]]
    for wave in waves if minutes > 0 else ():
        for each in wave:
            share_tokenizer(each.cell, out, progress)
        tasks = [partial(run_cell, each.cell, each.sizes, out, records, end) for each in wave]
        if tasks:
            run_all(tasks, progress, workers)
    return len(missing(cells, records))


def share_tokenizer(cell: Cell, out: Path, progress: Progress) -> None:
    """Make the tokenizer that the cell shares with others, unless it is there."""
    file = tokenizer_file(out, cell)
    if cell.start is not None or file.exists():
        return
    progress(f"training the tokenizer of {cell.corpus}", 0, 1, "")
    tokenizer = make_tokenizer(cell.config.data, load_corpus(cell.config.data.source, cell.config.data).train)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(file)
    progress(f"training the tokenizer of {cell.corpus}", 1, 1, "")


def corpora_of(words: Sequence[str]) -> dict[str, str]:
    """`NAME=SOURCE` or `SOURCE` words as a mapping; a source alone is named by its last part."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, source = word.partition("=")
        source = source if equals else word
        name = name if equals else Path(word.rstrip("/")).name.split(".")[0]
        if not source or not name:
            raise Problem(f"corpus {word!r}: give NAME=SOURCE, where SOURCE is what --data of train takes")
        if name in found:
            raise Problem(f"corpus {name!r} is named twice; give each another name")
        found[name] = source
    return found
