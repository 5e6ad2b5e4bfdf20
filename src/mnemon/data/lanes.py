from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from mnemon.config import Problem
from mnemon.data.document import Document
from mnemon.data.order import shuffled
from mnemon.data.tokenizer import Ids, Tokenizer

NO_TARGET = -100


@dataclass(frozen=True)
class Batch:
    """One piece of a document for each row, with what a state's owner needs to know about it.

    `starts`: this piece is its document's first; `ends`: its last. `lengths`: tokens that are not padding; 0 in a row
    without a document, whose entry in `documents` is -1. `documents`: index into the list given to `Lanes`.
    `offsets`: position of the row's first input token among all inputs of its document; 0 is the start id where there
    is one, so that token `i` of the document then stands at `i + 1`.
    """

    tokens: Int64[Tensor, "b t"]
    targets: Int64[Tensor, "b t"]
    starts: Bool[Tensor, " b"]
    lengths: Int64[Tensor, " b"]
    ends: Bool[Tensor, " b"]
    documents: Int64[Tensor, " b"]
    offsets: Int64[Tensor, " b"]

    def inner(self) -> "Batch":
        """The batch without the prediction that leads from one segment to the next: n - 1 losses a segment of n.

        That is how arXiv 2203.08913 counts, by its released code.
        """
        targets = self.targets.clone()
        targets[:, -1] = NO_TARGET
        return replace(self, targets=targets)


def inputs_and_targets(ids: Ids, start: int | None) -> tuple[Ids, Ids]:
    """What is fed and what is predicted: `[start, x0 .. x(n-2)]` and `[x0 .. x(n-1)]`; without start, one less."""
    if start is None:
        return ids[:-1], ids[1:]
    return np.concatenate([np.array([start], np.int32), ids[:-1]])[: len(ids)], ids


@dataclass(frozen=True)
class _Item:
    """What one lane reads from beginning to end: a document, or one of the equal parts of a stream."""

    document: int
    part: int
    parts: int


@dataclass
class _Lane:
    item: int
    base: int
    at: int
    inputs: Ids
    targets: Ids


class Lanes(Iterator[Batch]):
    """Documents dealt to `rows` lanes: each stays in one lane, in order, `segment` tokens at a time.

    A lane whose document ends takes the next of the queue, which holds every document once an epoch, in an order drawn
    from the seed and the epoch. The last piece of a document is short: padded, without targets there. After `epochs`
    (None: never) lanes without a document give empty rows until all are done. A stream document is cut into `rows`
    equal parts, one a lane (all-attention networks, arXiv 1907.01470: one continuous stream cut into lanes).
    With `part`, a document of more characters is cut into equal parts of at most so many, each read as a document of
    its own: a lane that stays in one long document for most of a short training would fit that document.
    Documents are encoded when first read and kept in `cache`, by document id; lanes over the same documents and
    tokenizer may share one.

    Deviation: a part of a stream starts where it was cut, in every epoch, not at a random offset.
    """

    def __init__(  # noqa: PLR0913 - what is read, how it is cut and in what order: three groups, used together only here
        self,
        documents: Sequence[Document],
        tokenizer: Tokenizer,
        rows: int,
        segment: int,
        seed: int,
        shuffle: bool = True,
        epochs: int | None = None,
        cache: dict[str, Ids] | None = None,
        part: int | None = None,
    ) -> None:
        if not documents:
            raise Problem("no documents to read: the split is empty")
        if rows < 1 or segment < 1:
            raise Problem(f"lanes need at least 1 row and 1 token a segment, got {rows} and {segment}")
        self.documents, self.tokenizer, self.rows, self.segment = documents, tokenizer, rows, segment
        self.part = part
        self.seed, self.shuffle, self.epochs = seed, shuffle, epochs
        self._cache = {} if cache is None else cache
        self._items = [
            _Item(index, at, parts)
            for index, parts in enumerate(self._parts(document) for document in documents)
            for at in range(parts)
        ]
        self._epoch, self._taken, self._unused = 0, 0, 0
        self._order = self._shuffled(0)
        self._lanes: list[_Lane | None] = [None] * rows

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        lanes = [lane if lane is not None else self._take() for lane in self._lanes]
        if all(lane is None for lane in lanes):
            raise StopIteration
        tokens = np.zeros((self.rows, self.segment), np.int64)
        targets = np.full((self.rows, self.segment), NO_TARGET, np.int64)
        facts = np.zeros((5, self.rows), np.int64)
        facts[3] = -1
        for row, lane in enumerate(lanes):
            if lane is None:
                continue
            end = min(lane.at + self.segment, len(lane.inputs))
            length = end - lane.at
            tokens[row, :length] = lane.inputs[lane.at : end]
            targets[row, :length] = lane.targets[lane.at : end]
            done = end == len(lane.inputs)
            facts[:, row] = lane.at == 0, length, done, self._items[lane.item].document, lane.base + lane.at
            lane.at = end
            lanes[row] = None if done else lane
        self._lanes = lanes
        starts, lengths, ends, indices, offsets = torch.from_numpy(facts)
        return Batch(
            torch.from_numpy(tokens), torch.from_numpy(targets), starts.bool(), lengths, ends.bool(), indices, offsets
        )

    def position(self) -> dict[str, Any]:
        """Where reading stands, as JSON: `seek` of it continues with the very batches that would have followed."""
        lanes = [None if lane is None else [lane.item, lane.at] for lane in self._lanes]
        return {"reads": self._reads(), "epoch": self._epoch, "taken": self._taken, "lanes": lanes}

    def seek(self, position: dict[str, Any]) -> None:
        """Continue from a `position()` of lanes over the same documents, rows, segment and seed."""
        reads = self._reads()
        for name, value in position["reads"].items():
            if reads.get(name) != value:
                raise Problem(f"data position: {name} was {value} when it was saved and is {reads.get(name)} now")
        self._epoch, self._taken = position["epoch"], position["taken"]
        self._order = self._shuffled(self._epoch)
        self._lanes = [None if lane is None else self._open(*lane) for lane in position["lanes"]]

    def _parts(self, document: Document) -> int:
        """How many items a document is read as."""
        if document.stream:
            return self.rows
        return 1 if self.part is None else max(1, -(-len(document.text) // self.part))

    def _reads(self) -> dict[str, Any]:
        return {
            "documents": len(self.documents),
            "characters": sum(len(document.text) for document in self.documents),
            "vocab_size": self.tokenizer.vocab_size,
            "rows": self.rows,
            "segment": self.segment,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "part": self.part,
        }

    def _shuffled(self, epoch: int) -> list[int]:
        items = range(len(self._items))
        return shuffled(items, self.seed, epoch) if self.shuffle else list(items)

    def _take(self) -> _Lane | None:
        """The next item of the queue with anything to predict, opened at its beginning."""
        while self.epochs is None or self._epoch < self.epochs:
            if self._taken == len(self._order):
                self._epoch, self._taken = self._epoch + 1, 0
                self._order = self._shuffled(self._epoch)
                continue
            item = self._order[self._taken]
            self._taken += 1
            lane = self._open(item, 0)
            if len(lane.inputs):
                self._unused = 0
                return lane
            self._unused += 1
            if self._unused > len(self._items):
                raise Problem("no document has a token to predict: all of them are empty or too short")
        return None

    def _open(self, item: int, at: int) -> _Lane:
        read = self._items[item]
        ids = self._ids(read.document)
        first, end = (part * len(ids) // read.parts for part in (read.part, read.part + 1))
        return _Lane(item, first, at, *inputs_and_targets(ids[first:end], self.tokenizer.start))

    def _ids(self, index: int) -> Ids:
        document = self.documents[index]
        if document.id not in self._cache:
            self._cache[document.id] = self.tokenizer.encode(document.text)
        return self._cache[document.id]
