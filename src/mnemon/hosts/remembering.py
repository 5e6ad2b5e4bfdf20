"""Reading many files into a memory that is kept on the disk."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from mnemon.config import Problem
from mnemon.data.text import read_text
from mnemon.hosts.memory import Memory
from mnemon.memory import read_contents
from mnemon.memory.folder import INDEX

Note = Callable[[int, int, str], None]
SHARE = 4  # reading takes at least so many times as long as saving: a large memory takes its time to save


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
    """A memory and the folder that it is kept in, to which nobody else may write meanwhile."""

    def __init__(self, memory: Memory, folder: Path, precision: str | None = None):
        self.memory, self.folder, self.precision = memory, folder, precision
        self._saved = self._there()
        self._since, self._took = perf_counter(), 0.0
        self.unsaved = False

    def save(self) -> None:
        """Write what is not on the disk yet."""
        if self.unsaved:
            if self._there() != self._saved:
                raise Problem(f"{self.folder}: another process has written this memory meanwhile; run this again")
            begun = perf_counter()
            self.memory.save(self.folder, self.precision)
            self._saved, self.unsaved = self._there(), False
            self._since = perf_counter()
            self._took = self._since - begun

    def changed(self) -> None:
        """Note that a document came or went; save, unless the last time took too long for that."""
        self.unsaved = True
        if perf_counter() - self._since >= SHARE * self._took:
            self.save()

    def _there(self) -> object:
        return read_contents(self.folder).documents if (self.folder / INDEX).exists() else None


def remember(
    keeping: Keeping, found: Sequence[Source], namespace: str = "", replace: bool = False, note: Note | None = None
) -> Remembered:
    """Read the files into memory and keep it in its folder.

    A document that is remembered already is not read again; one whose text has changed since is a `Problem`, or is
    `replace`d. Documents that have been read are saved one by one, or several at once where a save takes long, and
    when reading is interrupted. `note` is told how many characters of how many are behind, and the rate.
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
    try:
        for each in fresh:
            telling.begin(len(each.text))
            old = memory.source.store(namespace).count(each.name) if each.name in known else 0
            if old:
                came = memory.replace(each.name, None, namespace, telling, path=each.path)
                out.replaced.append(each.name)
                gone += old
            else:
                came = memory.read(each.path, document=each.name, namespace=namespace, progress=telling)
                out.read.append(each.name)
            telling.end(came)
            keeping.changed()
    finally:
        out.tokens, out.seconds = telling.tokens, perf_counter() - begun
        out.evicted = had - gone + out.tokens - len(memory)
        keeping.save()
    return out


class _Telling:
    """Tells how many characters are behind, one document after the other, and the rate in tokens."""

    def __init__(self, note: Note | None, total: int):
        self.note, self.total, self.begun = note, total, perf_counter()
        self.behind = self.size = self.tokens = 0

    def begin(self, size: int) -> None:
        """A document of so many characters is next."""
        self.size = size

    def end(self, tokens: int) -> None:
        """It is behind, and had so many tokens."""
        self.behind, self.size, self.tokens = self.behind + self.size, 0, self.tokens + tokens

    def __call__(self, done: int, of: int) -> None:
        rate = (self.tokens + done) / max(perf_counter() - self.begun, 1e-9)
        if self.note is not None:
            self.note(self.behind + self.size * done // max(of, 1), self.total, f"characters, {rate:,.0f} tokens/s")
