from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mnemon.config import Problem, nearest
from mnemon.index.room import rooms
from mnemon.memory.document import Document

ROOM = 1024  # entries that a buffer has room for at least, once it grows


@dataclass(frozen=True)
class Entries:
    """What one layer has of a namespace: entries `first` to `last` of buffers that have room for m.

    `version` differs after every change of the store.
    """

    keys: Float[Tensor, "1 g m d"]
    values: Float[Tensor, "1 g m d"]
    first: int
    last: int
    version: int


class DocumentStore:
    """The documents of one namespace, one after another in buffers of each layer; at most `size` entries.

    Beyond `size` the oldest entries go, document by document from its beginning (first in, first out, as in arXiv
    2203.08913, section 3.2). An entry's number counts from where the buffers begin; it changes when something is
    forgotten.
    """

    def __init__(self, size: int):
        self.size, self.version = size, 0
        self._documents: list[Document] = []  # without keys and values, which are in the buffers
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}
        self._first = self._last = 0

    def __len__(self) -> int:
        return self._last - self._first

    @property
    def names(self) -> list[str]:
        """Ids of the documents, oldest first."""
        return [each.name for each in self._documents]

    def count(self, name: str) -> int:
        """Entries of a document; none where it is not remembered."""
        return sum(len(each) for each in self._documents if each.name == name)

    def documents(self, names: Collection[str] | None = None) -> list[Document]:
        """All documents, or those of these names, oldest first; their keys and values are views of the buffers."""
        found, start = [], self._first
        for each in self._documents:
            if names is None or each.name in names:
                place = slice(start, start + len(each))
                keys, values = ({at: x[0, :, place] for at, x in side.items()} for side in (self._keys, self._values))
                found.append(replace(each, keys=keys, values=values))
            start += len(each)
        return found

    def tokens(self) -> dict[str, Tensor]:
        """Tokens of each document by its id, oldest first: the very same tensor as long as the document is the same."""
        return {each.name: each.tokens for each in self._documents}

    def entries(self, layer: int) -> Entries | None:
        """What `layer` may search; None where nothing is stored."""
        if not len(self):
            return None
        return Entries(self._keys[layer], self._values[layer], self._first, self._last, self.version)

    def at(self, number: int) -> tuple[Document, int]:
        """The document that entry `number` belongs to, without keys and values, and the entry's place among its own."""
        start = self._first
        for each in self._documents:
            if start <= number < start + len(each):
                return each, number - start
            start += len(each)
        raise IndexError(f"entry {number} of {len(self)}")

    def add(self, document: Document) -> None:
        """Append a document; one that goes on with the newest by the same name is joined to it."""
        if not len(document):
            return
        self._append(document.keys, document.values, len(document))
        bare = replace(document, keys={}, values={})
        self._documents.append(_joined(self._documents.pop(), bare) if self._goes_on(document) else bare)
        self._evict()
        self.version += 1

    def _goes_on(self, document: Document) -> bool:
        return bool(self._documents) and self._documents[-1].name == document.name

    def forget(self, name: str) -> Document:
        """Drop a document: what is left is as if it had never been read. The buffers are made anew, without it."""
        if name not in self.names:
            raise Problem(f"document {name!r}: nothing by this name is remembered{nearest(name, self.names)}")
        before = dict(vars(self))
        kept = self.documents()
        gone = kept.pop(self.names.index(name))
        self._documents, self._keys, self._values = [], {}, {}
        self._first = self._last = 0
        self.version += 1
        total = sum(map(len, kept))
        try:
            for each in kept:
                self._append(each.keys, each.values, len(each), total)
                self._documents.append(replace(each, keys={}, values={}))
        except Problem:  # there is no room for the others beside what there was
            vars(self).update(before)
            raise
        return gone

    def _append(
        self, keys: Mapping[int, Tensor], values: Mapping[int, Tensor], n: int, room: int | None = None
    ) -> None:
        if not self._keys and room is None:  # the first document is used where it lies: it may be a mapped file
            self._keys, self._values = ({at: x[None] for at, x in side.items()} for side in (keys, values))
        else:
            for buffers, fresh in ((self._keys, keys), (self._values, values)):
                for at, x in fresh.items():
                    buffers[at] = self._grown(buffers.get(at), x, n, room)
                    buffers[at][0, :, self._last : self._last + n] = x
        self._last += n

    def _grown(self, buffer: Tensor | None, fresh: Tensor, n: int, room: int | None) -> Tensor:
        """`buffer`, or a larger copy of it where `n` more entries do not fit."""
        if buffer is not None and self._last + n <= buffer.shape[2]:
            return buffer
        m = max(self._last + n, room or max(ROOM, 2 * self._last))
        (larger,) = rooms(fresh, (1, fresh.shape[0], m, fresh.shape[2]))
        if buffer is not None:
            larger[:, :, : self._last] = buffer[:, :, : self._last]
        return larger

    def _evict(self) -> None:
        over = len(self) - self.size
        while over > 0:
            oldest = self._documents[0]
            gone = min(over, len(oldest))
            self._documents[:1] = [_without(oldest, gone)] if gone < len(oldest) else []
            self._first += gone
            over -= gone
        if self._first > self.size:  # copied once for each `size` entries that went
            for buffers in (self._keys, self._values):
                for at, x in buffers.items():
                    buffers[at] = x[:, :, self._first : self._last].clone()
            self._first, self._last = 0, len(self)


def _joined(old: Document, new: Document) -> Document:
    tokens, spans, positions = (
        torch.cat(pair) for pair in ((old.tokens, new.tokens), (old.spans, new.spans), (old.positions, new.positions))
    )
    return replace(new, tokens=tokens, spans=spans, positions=positions)


def _without(document: Document, gone: int) -> Document:
    return replace(
        document, tokens=document.tokens[gone:], spans=document.spans[gone:], positions=document.positions[gone:]
    )
