import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

RUN = re.compile(r"[A-Za-z_0-9]+")
KINDS = ("returning name", "recent name", "new name", "number", "punctuation", "other")


@dataclass(frozen=True)
class Name:
    """An occurrence of an identifier in a text: a longest run of `[A-Za-z_0-9]`, not of digits alone.

    `first` and `last`: the tokens it reaches over. `before`: how often it had occurred. `gap`: tokens from the end of
    its occurrence before to `first`; None at the first.
    """

    text: str
    first: int
    last: int
    before: int
    gap: int | None

    def beyond(self, window: int) -> bool:
        """Whether the occurrence before lies where the token that predicts `first` no longer sees it."""
        return self.gap is not None and self.gap > window + 1


def names(text: str, spans: Int64[np.ndarray, "n 2"]) -> list[Name]:
    """The identifiers of a text whose tokens have these spans, in order; one that the last token cuts is left out."""
    return [name for name in _runs(text, spans) if not name.text.isdigit()]


def name_of(found: Sequence[Name], tokens: int) -> Int64[np.ndarray, " n"]:
    """For each token the index of the name that it belongs to, the first where there are several; -1 for none."""
    owner = np.full(tokens, -1, np.int64)
    for index in reversed(range(len(found))):
        owner[found[index].first : found[index].last + 1] = index
    return owner


def kinds(text: str, spans: Int64[np.ndarray, "n 2"], window: int) -> Int64[np.ndarray, " n"]:
    """What each token is, as an index into `KINDS`.

    A returning name has occurred before, but not within the window; a recent one has; a new one has not occurred. White
    space and letters beyond ASCII are "other".
    """
    runs = _runs(text, spans)
    found = np.array([_plain(text[first:last]) for first, last in spans], np.int64).reshape(-1)
    owner = name_of(runs, len(spans))
    for token in np.flatnonzero(owner >= 0):
        name = runs[owner[token]]
        kind = "new name" if name.gap is None else "returning name" if name.beyond(window) else "recent name"
        found[token] = KINDS.index("number" if name.text.isdigit() else kind)
    return found


def _plain(token: str) -> int:
    """The kind of a token that no run reaches into."""
    shown = token.strip()
    return KINDS.index("punctuation" if shown and not re.search(r"\w", shown) else "other")


def _runs(text: str, spans: Int64[np.ndarray, "n 2"]) -> list[Name]:
    """Names, and runs of digits."""
    if not len(spans):
        return []
    starts, ends = spans[:, 0], np.maximum.accumulate(spans[:, 1])
    runs: list[Name] = []
    latest: dict[str, tuple[int, int]] = {}  # last token of the latest occurrence, and how many there were
    for match in RUN.finditer(text, 0, int(ends[-1])):
        if match.end() < len(text) and match.end() == ends[-1] and RUN.match(text[match.end()]):
            continue
        first = int(np.searchsorted(ends, match.start(), side="right"))
        last = int(np.searchsorted(starts, match.end(), side="left")) - 1
        end, before = latest.get(match.group(), (None, 0))
        runs.append(Name(match.group(), first, last, before, None if end is None else first - end))
        latest[match.group()] = (last, before + 1)
    return runs
