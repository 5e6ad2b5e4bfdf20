import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from mnemon.config import Config, Problem, nearest, read_json
from mnemon.memory.fingerprint import Fingerprint
from mnemon.memory.folder import DOCUMENT, INDEX, put

FORMAT, VERSION = "mnemon-memory", 1
Values = dict[str, Any]
# How the values of a version become those of the next; a new version adds the step that leads to it.
UPGRADES: dict[int, Callable[[Values], Values]] = {}


class Entry(Config):
    """A document as the index names it: `entries` of it lie in `file`, which is called after its `sha256`.

    `precision` is that of the stored keys and values, `recall` what it keeps in each layer: the share of the 32
    best keys of a query that are still among its 32 best, as measured when the document was written.
    """

    name: str
    namespace: str
    source: str
    time: str
    entries: int
    bytes: int
    sha256: str
    file: str
    precision: str
    recall: dict[int, float]

    @model_validator(mode="after")
    def _named_after_content(self) -> Self:
        if not DOCUMENT.fullmatch(self.file) or self.file != f"{self.sha256}.safetensors":
            raise ValueError(f"document {self.name!r} lies in {self.file!r}, which no document of a memory is called")
        return self

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    def __str__(self) -> str:
        return f"{self.name!r} in namespace {self.namespace!r}" if self.namespace else repr(self.name)


class Contents(Config):
    """What `index.json` says: whose memory it is, how it is stored, and its documents in the order they were read."""

    fingerprint: Fingerprint
    precision: str
    documents: tuple[Entry, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        if len({each.key for each in self.documents}) < len(self.documents):
            raise ValueError("two documents of one namespace have the same name")
        return self

    @property
    def files(self) -> set[str]:
        return {each.file for each in self.documents}

    @property
    def bytes(self) -> int:
        """What document files take on the disk."""
        return sum({each.file: each.bytes for each in self.documents}.values())

    @property
    def recall(self) -> dict[int, float]:
        """By layer: the mean over documents, each counted by its entries."""
        counted = [each for each in self.documents if each.entries and each.recall]
        total = sum(each.entries for each in counted)
        layers = self.fingerprint.layers if counted else ()
        return {layer: sum(each.entries * each.recall[layer] for each in counted) / total for layer in layers}

    def find(self, where: Path, name: str, namespace: str | None = None) -> Entry:
        """The document called `name`; a `Problem` if there is none, or several where no namespace is given."""
        documents = [each for each in self.documents if namespace in (None, each.namespace)]
        found = [each for each in documents if each.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise Problem(f"{where}: there is {' and '.join(map(str, found))}; give the namespace")
        at = f" in namespace {namespace!r}" if namespace is not None else ""
        near = nearest(name, sorted({each.name for each in documents})) if documents else " (it has none)"
        raise Problem(f"{where}: no document {name!r}{at}{near}")


def read(folder: str | Path) -> Contents:
    """What the memory in `folder` holds, read from its index alone; a `Problem` if it is none, or damaged."""
    path = Path(folder) / INDEX
    if not os.path.exists(path):
        raise absent(folder)
    values = read_json(path)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise Problem(f"{path}: this is no memory of mnemon")
    version = values.get("version")
    if not isinstance(version, int):
        raise Problem(f"{path}: damaged: version {version!r}")
    if version > VERSION:
        raise Problem(f"{path}: memory format {version}, this mnemon reads up to {VERSION}; use a newer mnemon")
    if values.pop("sha256", None) != _digest(values):
        raise Problem(f"{path}: damaged: its content is not what its sha256 says; put a copy in its place")
    values = upgraded(values, VERSION, UPGRADES)
    return Contents.parse({key: values[key] for key in values if key not in ("format", "version")}, str(path))


def absent(folder: str | Path) -> Problem:
    """What is said of a folder without an index."""
    return Problem(f"{folder}: no memory here (there is no {INDEX} in it)")


def upgraded(values: Values, version: int, steps: dict[int, Callable[[Values], Values]]) -> Values:
    """The values of an index in the form of `version`, step by step from the one they have."""
    while values["version"] < version:
        values = {**steps[values["version"]](values), "version": values["version"] + 1}
    return values


def write(folder: Path, contents: Contents) -> None:
    """Put a new index in place of the old one, if any: the moment at which the memory changes."""
    values = {"format": FORMAT, "version": VERSION, **json.loads(contents.model_dump_json())}
    text = json.dumps({**values, "sha256": _digest(values)}, indent=2, allow_nan=False) + "\n"
    put(folder / INDEX, [text.encode("utf-8")], INDEX)


def _digest(values: Values) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode("utf-8")).hexdigest()
