"""The index on the disk: `index.json`, and parts that say what has changed since it was written.

A part is called after the sha256 of what it follows, of the index or of the part before: so a reader goes from one to
the next, and parts of an index that is no more are reached by nobody. Neither is ever changed once it is there.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnemon.config import Config, Problem, digest_of
from mnemon.memory.contents import Contents, Entry, Key
from mnemon.memory.folder import INDEX, put

FORMAT, VERSION = "mnemon-memory", 2
Values = dict[str, Any]
# How the values of a version become those of the next; a new version adds the step that leads to it.
UPGRADES: dict[int, Callable[[Values], Values]] = {1: lambda values: values}  # which had no parts, and no evicted


class Part(Config):
    """A change: documents that are no more, entries in place of those of their documents, and what came, in order."""

    gone: tuple[Key, ...] = ()
    changed: tuple[Entry, ...] = ()
    came: tuple[Entry, ...] = ()

    def apply(self, documents: dict[Key, Entry]) -> None:
        """Change `documents`, which are in the order they were read."""
        for key in self.gone:
            del documents[key]
        for entry in (*self.changed, *self.came):
            documents[entry.key] = entry


@dataclass(frozen=True)
class State:
    """What a folder says: what it holds, the files of its parts, and the digest that the next part is called after."""

    contents: Contents
    parts: tuple[str, ...]
    tip: str

    @property
    def files(self) -> set[str]:
        """Every file that belongs to the memory, but the index."""
        return self.contents.files | set(self.parts)


def read(folder: str | Path) -> Contents:
    """What the memory in `folder` holds, read from its index alone; a `Problem` if it is none, or damaged."""
    return read_state(Path(folder)).contents


def read_state(folder: Path) -> State:
    """The state of a memory at some moment of this call."""
    while True:
        with watched(folder) as unchanged:
            state = _read(folder)
            if unchanged():  # else parts may have been taken away before they were read
                return state


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[Callable[[], bool]]:
    """Gives the question whether the index is still the file that it was, parts aside."""
    path = folder / INDEX
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        raise absent(folder) from None
    try:
        # While it is open no other file gets its number.
        yield lambda: os.path.samestat(os.fstat(handle), os.stat(path))
    finally:
        os.close(handle)


def absent(folder: str | Path) -> Problem:
    """What is said of a folder without an index."""
    return Problem(f"{folder}: no memory here (there is no {INDEX} in it)")


def write(folder: Path, contents: Contents) -> State:
    """Put a new index in place of the old one, if any, and of its parts: the moment at which the memory changes."""
    values = {"format": FORMAT, "version": VERSION, **json.loads(contents.model_dump_json())}
    return State(contents, (), _put(folder / INDEX, values))


def append(folder: Path, tip: str, part: Part) -> tuple[str, str]:
    """Put a part behind what has the digest `tip`: the moment at which the memory changes. Its file and digest."""
    name = f"{tip}.json"
    return name, _put(folder / name, json.loads(part.model_dump_json()))


def upgraded(values: Values, version: int, steps: dict[int, Callable[[Values], Values]]) -> Values:
    """The values of an index in the form of `version`, step by step from the one they have."""
    while values["version"] < version:
        values = {**steps[values["version"]](values), "version": values["version"] + 1}
    return values


def _read(folder: Path) -> State:
    path = folder / INDEX
    values, tip = _values(path)
    if values is None:
        raise absent(folder)
    first = Contents.parse({key: values[key] for key in values if key not in ("format", "version")}, str(path))
    documents, parts = {each.key: each for each in first.documents}, []
    while True:
        path = folder / f"{tip}.json"
        values, after = _values(path, whole=False)
        if values is None:
            break
        try:
            Part.parse(values, str(path)).apply(documents)
        except KeyError as error:
            raise Problem(f"{path}: damaged: document {error} is taken away, and is not there") from None
        parts.append(path.name)
        tip = after
    contents = first.replace(documents=tuple(documents.values())) if parts else first
    return State(contents, tuple(parts), tip)


def _values(path: Path, whole: bool = True) -> tuple[Values | None, str]:
    """What an index, or with `whole=False` a part of one, says, and its digest; nothing where there is no such file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, ""
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Problem(f"{path}: cannot be read as JSON ({error})") from None
    if whole:
        values = _checked(values, path)
    said = values.pop("sha256", None) if isinstance(values, dict) else None
    if said is None or said != digest_of(values):
        raise Problem(f"{path}: damaged: its content is not what its sha256 says; put a copy in its place")
    return (upgraded(values, VERSION, UPGRADES) if whole else values), said


def _checked(values: Any, path: Path) -> Values:
    """Values that are those of a memory, of a version that is known."""
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise Problem(f"{path}: this is no memory of mnemon")
    version = values.get("version")
    if not isinstance(version, int):
        raise Problem(f"{path}: damaged: version {version!r}")
    if version > VERSION:
        raise Problem(f"{path}: memory format {version}, this mnemon reads up to {VERSION}; use a newer mnemon")
    return values


def _put(path: Path, values: Values) -> str:
    digest = digest_of(values)
    text = json.dumps({**values, "sha256": digest}, indent=2, allow_nan=False) + "\n"
    put(path, [text.encode("utf-8")], INDEX)
    return digest


def named(entries: Iterable[Entry]) -> dict[Key, Entry]:
    """Entries by their namespace and name."""
    return {each.key: each for each in entries}
