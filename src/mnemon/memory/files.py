from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnemon.config import Problem, nearest
from mnemon.memory.access import changing, consistent, same, there
from mnemon.memory.checks import misfit
from mnemon.memory.contents import Contents, Entry, read, write
from mnemon.memory.document import Document
from mnemon.memory.document_file import DocumentFile, serialised
from mnemon.memory.fingerprint import Fingerprint
from mnemon.memory.folder import put
from mnemon.memory.precision import DTYPES, INT8, keeps_all, recall, sample


@dataclass(frozen=True)
class Saved:
    """What a save did: documents written, already there, and no longer there; bytes of all that are; see `Contents`
    for `precision` and `recall`."""

    written: int
    kept: int
    removed: int
    bytes: int
    precision: str
    recall: dict[int, float]


@dataclass(frozen=True)
class Forgotten:
    """What went with a document: its entries, and the bytes freed on the disk."""

    document: str
    entries: int
    bytes: int


def save(
    folder: str | Path, documents: Sequence[Document], fingerprint: Fingerprint, precision: str | None = None
) -> Saved:
    """Make the memory in `folder` these documents, in this order; those that it holds already are not written again.

    Until the new index stands in place of the old one the memory is what it was. `precision`: a floating type, or
    "int8" with a scale a vector; as the memory is, or, if it is new, as the tensors are, where none is given.
    """
    folder = Path(folder)
    _refuse(folder, documents, fingerprint, precision)
    with changing(folder) as before:
        if before is not None:
            same(folder, before.fingerprint, fingerprint)
        precision = precision or (before.precision if before else fingerprint.dtype)
        present = {each.file: each for each in before.documents if there(folder, each)} if before else {}
        entries = [_put(folder, document, precision, present) for document in documents]
        new = [entry.file not in present for entry in entries]
        measured = _recall(documents, new, fingerprint, precision)
        entries = [each.replace(recall=measured) if fresh else each for each, fresh in zip(entries, new, strict=True)]
        after = Contents(fingerprint=fingerprint, precision=precision, documents=tuple(entries))
        write(folder, after)
    gone = {each.key for each in before.documents} - {each.key for each in entries} if before else ()
    return Saved(sum(new), len(new) - sum(new), len(gone), after.bytes, precision, after.recall)


def load(
    folder: str | Path, expected: Fingerprint | None = None, verify: bool = False
) -> tuple[Fingerprint, list[Document]]:
    """Whose memory it is, and its documents in the order they were read; a `Problem` if it is not the one `expected`.

    Files are mapped: keys and values are read when they are used, and stay readable after the memory on the disk has
    changed. `verify` reads everything at once and compares digests.
    """
    folder = Path(folder)

    def documents(contents: Contents) -> tuple[Fingerprint, list[Document]]:
        if expected is not None:
            same(folder, contents.fingerprint, expected)
        files = [DocumentFile(folder, entry, contents.fingerprint) for entry in contents.documents]
        for file in files if verify else ():
            file.verify()
        return contents.fingerprint, [file.load() for file in files]

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


def _refuse(folder: Path, documents: Sequence[Document], fingerprint: Fingerprint, precision: str | None) -> None:
    if fingerprint.dtype not in DTYPES:
        raise Problem(
            f"{folder}: entries in {fingerprint.dtype!r} cannot be saved{nearest(fingerprint.dtype, [*DTYPES])}"
        )
    if precision not in (None, INT8, *DTYPES):
        raise Problem(f"precision {precision!r}: no such precision{nearest(str(precision), [*DTYPES, INT8])}")
    names = set()
    for document in documents:
        what = "there are two of that name" if (document.namespace, document.name) in names else None
        what = what or misfit(document, fingerprint)
        if what:
            raise Problem(f"{folder}: document {document.name!r} cannot be saved: {what}")
        names.add((document.namespace, document.name))


def _put(folder: Path, document: Document, precision: str, present: Mapping[str, Entry]) -> Entry:
    """The document's file, written if it is not there already, as an entry of the index."""
    parts, digest = serialised(document, precision)
    entry = Entry(
        name=document.name,
        namespace=document.namespace,
        source=document.source,
        time=document.time,
        entries=len(document),
        bytes=sum(memoryview(part).nbytes for part in parts),
        sha256=digest,
        file=f"{digest}.safetensors",
        precision=precision,
        recall={},
    )
    if entry.file in present:
        return entry.replace(recall=present[entry.file].recall)
    put(folder / entry.file, parts, f"document {entry}")
    return entry


def _recall(
    documents: Sequence[Document], new: Sequence[bool], fingerprint: Fingerprint, precision: str
) -> dict[int, float]:
    """What the precision keeps of searches for entries of the new documents, layer by layer."""
    lengths = [len(document) if fresh else 0 for document, fresh in zip(documents, new, strict=True)]
    if not sum(lengths):
        return {}
    if keeps_all(precision, DTYPES[fingerprint.dtype]):
        return dict.fromkeys(fingerprint.layers, 1.0)
    places = sample(lengths)
    return {
        layer: recall([each.keys[layer].detach().cpu() for each in documents], places, precision)
        for layer in fingerprint.layers
    }
