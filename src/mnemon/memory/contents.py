from pathlib import Path
from typing import Self

from pydantic import NonNegativeInt, model_validator

from mnemon.config import Config, Problem, nearest
from mnemon.memory.fingerprint import Fingerprint
from mnemon.memory.folder import DOCUMENT

Key = tuple[str, str]  # namespace and name of a document


class Entry(Config):
    """A document as the index names it: `entries` of it lie in `file`, which is called after its `sha256`.

    So many that went because the memory was full, `evicted`, still stand before them in the file.
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
    evicted: NonNegativeInt = 0

    @model_validator(mode="after")
    def _named_after_content(self) -> Self:
        if not DOCUMENT.fullmatch(self.file) or self.file != f"{self.sha256}.safetensors":
            raise ValueError(f"document {self.name!r} lies in {self.file!r}, which no document of a memory is called")
        return self

    @property
    def key(self) -> Key:
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
