from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnemon.memory.access import changing, consistent, same
from mnemon.memory.contents import Contents, Entry, Key
from mnemon.memory.document import Document
from mnemon.memory.document_file import DocumentFile
from mnemon.memory.fingerprint import Fingerprint
from mnemon.memory.index_file import read, write
from mnemon.memory.writer import Saved, refuse, writing


@dataclass(frozen=True)
class Forgotten:
    """What went with a document: its entries, and the bytes freed on the disk."""

    document: str
    entries: int
    bytes: int


def save(
    folder: str | Path,
    documents: Sequence[Document],
    fingerprint: Fingerprint,
    precision: str | None = None,
    known: Mapping[Key, Entry] | None = None,
) -> Saved:
    """Make the memory in `folder` these documents, in this order: see `Writer.become` and `writing`."""
    known = known or {}
    refuse(Path(folder), [each for each in documents if (each.namespace, each.name) not in known], fingerprint)
    with writing(folder, fingerprint, precision) as writer:
        return writer.become(documents, known)


def load(
    folder: str | Path, expected: Fingerprint | None = None, verify: bool = False
) -> tuple[Fingerprint, list[Document]]:
    """Whose memory it is, and its documents in the order they were read; a `Problem` if it is not the one `expected`.

    Files are mapped: keys and values are read when they are used, and stay readable after the memory on the disk has
    changed. `verify` reads everything at once and compares digests.
    """
    contents, documents = opened(folder, expected, verify)
    return contents.fingerprint, documents


def opened(
    folder: str | Path, expected: Fingerprint | None = None, verify: bool = False
) -> tuple[Contents, list[Document]]:
    """As `load`, with what the index says of the documents."""
    folder = Path(folder)

    def documents(contents: Contents) -> tuple[Contents, list[Document]]:
        if expected is not None:
            same(folder, contents.fingerprint, expected)
        files = [DocumentFile(folder, entry, contents.fingerprint) for entry in contents.documents]
        for file in files if verify else ():
            file.verify()
        return contents, [file.load() for file in files]

    return consistent(folder, documents)


def show(folder: str | Path, name: str, namespace: str | None = None) -> tuple[Entry, Document]:
    """One document of the memory in `folder`, and what its index says of it."""
    folder = Path(folder)

    def document(contents: Contents) -> tuple[Entry, Document]:
        entry = contents.find(folder, name, namespace)
        return entry, DocumentFile(folder, entry, contents.fingerprint).load()

    return consistent(folder, document)


def forget(folder: str | Path, name: str, namespace: str | None = None) -> Forgotten:
    """Take a document out of the memory in `folder`, and its bytes off the disk."""
    folder = Path(folder)
    read(folder)  # a folder that is not there is not begun
    with changing(folder) as before:
        assert before is not None
        entry = before.find(folder, name, namespace)
        after = before.replace(documents=tuple(each for each in before.documents if each != entry))
        write(folder, after)
    return Forgotten(str(entry), entry.entries, 0 if entry.file in after.files else entry.bytes)
