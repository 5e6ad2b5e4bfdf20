import bisect
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from mnemon.config import Problem, nearest


class Place(NamedTuple):
    """Where a character stands: document, file inside it and the line of that file, counted from 1."""

    document: str
    file: str
    line: int


def heading(path: str) -> str:
    """The comment line that precedes a file inside a document of several files."""
    return f"# {path}\n"


@dataclass(frozen=True)
class Document:
    """A text that is read from its first to its last character by one lane, with an empty memory at its start.

    `files` holds the first character and the path of each file inside the text. In a document put together of several
    files a `heading` line stands before each of them, so that the first one does not start at 0. A `stream` has no
    natural beginning: lanes may cut it into equal parts.
    """

    id: str
    text: str = field(repr=False)
    source: str | None = None
    files: tuple[tuple[int, str], ...] = field(default=(), repr=False)
    stream: bool = False

    def locate(self, character: int) -> Place:
        """File and line of a character of the text; a heading counts as line 1 of the file that follows it."""
        if not 0 <= character <= len(self.text):
            raise IndexError(f"character {character} of document {self.id!r}, which has {len(self.text)}")
        files = self.files or ((0, self.source or self.id),)
        headed = files[0][0] > 0
        at = bisect.bisect_right(files, character, key=lambda file: file[0]) - 1
        if headed and at + 1 < len(files) and character >= files[at + 1][0] - len(heading(files[at + 1][1])):
            at += 1
        start, path = files[at]
        return Place(self.id, path, self.text.count("\n", start, character) + 1)


def joined(name: str, files: Iterable[tuple[str, str]], source: str | None = None) -> Document:
    """One document of several `(path, text)` files, each after its heading line and ended by a line end."""
    parts: list[str] = []
    starts: list[tuple[int, str]] = []
    length = 0
    for path, text in files:
        head, body = heading(path), text if text.endswith("\n") else text + "\n"
        starts.append((length + len(head), path))
        parts += [head, body]
        length += len(head) + len(body)
    return Document(name, "".join(parts), source, tuple(starts))


@dataclass(frozen=True)
class Corpus:
    """Documents in three splits, what was left out of them (reason to count), and a fingerprint of the whole."""

    name: str
    train: list[Document]
    valid: list[Document]
    test: list[Document]
    skipped: dict[str, int]
    fingerprint: str

    @property
    def documents(self) -> list[Document]:
        """All documents: train, then valid, then test."""
        return [*self.train, *self.valid, *self.test]

    def split(self, name: str) -> list[Document]:
        """The documents of `train`, `valid` or `test`."""
        splits = {"train": self.train, "valid": self.valid, "test": self.test}
        if name not in splits:
            raise Problem(f"corpus {self.name}: no split {name!r}{nearest(name, list(splits))}")
        return splits[name]


def fingerprint(splits: Iterable[Iterable[Document]]) -> str:
    """Hex digest over names and texts of the documents, in order, split by split."""
    digest = hashlib.blake2b(digest_size=16)
    for documents in splits:
        digest.update(b"split")
        for document in documents:
            for part in (document.id, document.text):
                value = part.encode("utf-8")
                digest.update(len(value).to_bytes(8, "big"))
                digest.update(value)
    return digest.hexdigest()
