"""Reading many files into a memory that is kept on the disk."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Self

from mnemon.config import Problem
from mnemon.data.text import read_text
from mnemon.hosts.memory import Memory
from mnemon.memory import Contents, Document, read_contents, writing
from mnemon.memory.folder import is_memory
from mnemon.memory.writer import refuse

Note = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Source:
    """A file to be read: its id, and its text."""

    name: str
    path: Path
    text: str = field(repr=False)


@dataclass
class Remembered:
    """What came of it: documents read, replaced, and there already; files that are no text, by reason; new entries,
    and old ones that went because the memory was full.
    """

    read: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    tokens: int = 0
    evicted: int = 0
    seconds: float = 0.0


def sources(paths: Iterable[str | Path]) -> tuple[list[Source], dict[str, list[str]]]:
    """The files that are named, and those in folders that are named; what is no UTF-8 text in a folder, by reason.

    A file's id is its path as given. A file that is named and cannot be read is a `Problem`; in folders hidden files
    are left out.
    """
    found: list[Source] = []
    skipped: dict[str, list[str]] = {}
    for path in map(Path, paths):
        for file in _below(path) if path.is_dir() else [path]:
            reasons: Counter[str] = Counter()
            text = read_text(file, strict=not path.is_dir(), skipped=reasons)
            for reason in reasons:
                skipped.setdefault(reason, []).append(str(file))
            if text == "":
                skipped.setdefault("empty", []).append(str(file))
            elif text is not None:
                found.append(Source(file.as_posix(), file, text))
    twice = [name for name, count in Counter(each.name for each in found).items() if count > 1]
    if twice:
        raise Problem(f"{twice[0]}: named twice")
    return found, skipped


def _below(folder: Path) -> list[Path]:
    files: list[Path] = []
    for inside, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(inside, name) for name in sorted(names) if not name.startswith(".")]
    if not files:
        raise Problem(f"{folder}: no files there")
    return files


class Keeping:
    """A memory and the folder that it is kept in. Within `with keeping:` nobody else may write to it."""

    def __init__(self, memory: Memory, folder: Path, precision: str | None = None):
        self.memory, self.folder, self.precision = memory, folder, precision
        self._saved = self._there()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            fingerprint = self.memory.fingerprint()
            refuse(self.folder, self._unknown(), fingerprint)
            self._writer = stack.enter_context(writing(self.folder, fingerprint, self.precision))
            if self._there() != self._saved:
                raise Problem(f"{self.folder}: another process has written this memory meanwhile; run this again")
            documents, on_disk = self.memory.documents, self.memory.on_disk(self.folder)
            on_disk.note(documents, self._writer.become(documents, on_disk.known(documents)).documents)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        self._saved = self._there()

    def keep(self) -> None:
        """Bring to the disk what came or went since the last time: once it returns, it stays whatever happens."""
        self.memory.on_disk(self.folder).bring(self.memory.source.stores, self._writer)

    def _unknown(self) -> list[Document]:
        documents = self.memory.documents
        known = self.memory.on_disk(self.folder).known(documents)
        return [each for each in documents if (each.namespace, each.name) not in known]

    def _there(self) -> Contents | None:
        return read_contents(self.folder) if is_memory(self.folder) else None


def remember(
    keeping: Keeping, found: Sequence[Source], namespace: str = "", replace: bool = False, note: Note | None = None
) -> Remembered:
    """Read the files into memory and keep it in its folder.

    A document that is remembered already is not read again; one whose text has changed since is a `Problem`, or is
    `replace`d. Each is brought to the disk before the next is read. `note` is told how many characters of how many are
    behind, how many documents are on the disk for good, and the rate.
    """
    memory, out, begun = keeping.memory, Remembered(), perf_counter()
    known = {each.name: each.text for each in memory.documents if each.namespace == namespace}
    out.kept = [each.name for each in found if known.get(each.name) == each.text]
    fresh = [each for each in found if known.get(each.name) != each.text]
    changed = [each.name for each in fresh if each.name in known]
    if changed and not replace:
        others = f" and {len(changed) - 1} more have" if len(changed) > 1 else " has"
        raise Problem(f"{changed[0]}{others} changed since being remembered: --replace forgets the old text")
    telling, had, gone = _Telling(note, sum(len(each.text) for each in fresh)), len(memory), 0
    with keeping if fresh else nullcontext():
        for each in fresh:
            old = memory.source.store(namespace).count(each.name) if each.name in known else 0
            telling.begin(len(each.text))
            if old:
                came = memory.replace(each.name, None, namespace, telling, path=each.path)
            else:
                came = memory.read(each.path, document=each.name, namespace=namespace, progress=telling)
            keeping.keep()
            (out.replaced if old else out.read).append(each.name)
            gone += old
            telling.end(came)
    out.tokens, out.seconds = telling.tokens, perf_counter() - begun
    out.evicted = had - gone + out.tokens - len(memory)
    return out


class _Telling:
    """Tells how many characters and documents are behind, and the rate in tokens.

    The last characters of a document are behind when it is on the disk.
    """

    def __init__(self, note: Note | None, total: int):
        self.note, self.total, self.begun = note, total, perf_counter()
        self.behind = self.size = self.tokens = self.kept = 0

    def begin(self, size: int) -> None:
        """A document of so many characters is next."""
        self.size = size

    def end(self, tokens: int) -> None:
        """It is behind, had so many tokens, and is on the disk."""
        self.behind, self.size, self.tokens = self.behind + self.size, 0, self.tokens + tokens
        self.kept += 1
        self._tell(self.behind, self.tokens)

    def __call__(self, done: int, of: int) -> None:
        if done < of:
            self._tell(self.behind + self.size * done // of, self.tokens + done)

    def _tell(self, behind: int, tokens: int) -> None:
        rate = tokens / max(perf_counter() - self.begun, 1e-9)
        if self.note is not None:
            self.note(behind, self.total, f"characters, {self.kept:,} kept, {rate:,.0f} tokens/s")
