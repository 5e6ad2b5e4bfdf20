"""A data set by its name: the user's copy is read, and held against what is known of the whole."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mnemon.config import Problem
from mnemon.data.document import Corpus
from mnemon.data.jsonl import load_jsonl
from mnemon.data.options import DataConfig
from mnemon.data.source import ready_splits
from mnemon.data.text import unpacked_name


@dataclass(frozen=True)
class Check:
    """What a copy holds of something, and what the whole data set holds."""

    what: str
    found: int | str
    expected: int | str

    @property
    def ok(self) -> bool:
        """Whether the copy is right in this."""
        return self.found == self.expected

    def __str__(self) -> str:
        found, expected = (f"{each:,}" if isinstance(each, int) else each for each in (self.found, self.expected))
        return f"{self.what} {found} of {expected}" if isinstance(self.found, int) else f"{self.what} {found}"


@dataclass(frozen=True)
class Named:
    """A known data set: what it is, under what licence, where a user gets it, and how a copy is read and checked.

    `read` makes a corpus of a local copy; `fetch`, of one on the web, where there is one that needs no program to load.
    Called like any loader: `(path, options) -> Corpus`. No path and `options.download`: it is fetched. A copy that
    fails a check is refused, or read under the name `NAME-partial` with `options.partial`. `lines`: a copy may also be
    JSON Lines, a document a line.
    """

    name: str
    about: str
    licence: str
    origin: str
    read: Callable[[Path, DataConfig], Corpus]
    fetch: Callable[[DataConfig], Corpus] | None = None
    checks: Callable[[Corpus], list[Check]] = lambda corpus: []
    lines: bool = False

    def __call__(self, path: str, options: DataConfig) -> Corpus:
        corpus = replace(self._found(path, options), name=self.name)
        wrong = [check for check in self.checks(corpus) if not check.ok]
        if not wrong:
            return corpus
        if options.partial:
            return replace(corpus, name=f"{self.name}-partial")
        said = ", ".join(map(str, wrong))
        raise Problem(
            f"{path or 'the fetched copy'}: not the whole of {self.name} ({said}); complete it from {self.origin}, "
            f"or read it as {self.name}-partial with --partial"
        )

    def _found(self, path: str, options: DataConfig) -> Corpus:
        if path and options.download:
            raise Problem(f"{self.name}:{path}: a copy is given, nothing is downloaded; leave out one of the two")
        if path and self.lines and _are_lines(Path(path)):
            return load_jsonl(path, options)
        if path:
            return self.read(Path(path), options)
        if not options.download:
            fetch = ", or --download" if self.fetch else ""
            raise Problem(f"{self.name}: give your copy as --data {self.name}:PATH{fetch} ({self.origin})")
        if self.fetch is None:
            raise Problem(
                f"{self.name}: there is no copy to download; get it from {self.origin} and give it as --data "
                f"{self.name}:PATH"
            )
        return self.fetch(options)


def _are_lines(place: Path) -> bool:
    return bool(ready_splits(place, ".jsonl")) if place.is_dir() else unpacked_name(place).endswith(".jsonl")
