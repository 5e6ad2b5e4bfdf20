from collections.abc import Mapping, Sequence
from pathlib import Path

from mnemon.memory.contents import Entry
from mnemon.memory.document import Document
from mnemon.memory.document_file import serialised
from mnemon.memory.fingerprint import Fingerprint
from mnemon.memory.folder import put
from mnemon.memory.precision import AMONG, DTYPES, keeps_all, recall, sample


def stored(folder: Path, document: Document, precision: str, present: Mapping[str, Entry]) -> Entry:
    """The document's file, written if it is not among those `present`, as an entry of the index."""
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


def measured(
    new: Sequence[Document], among: Sequence[Document], fingerprint: Fingerprint, precision: str
) -> dict[int, float]:
    """What the precision keeps of searches for entries of the `new` documents, layer by layer.

    They are searched among all, or the newest of them where they are many.
    """
    if not sum(map(len, new)):
        return {}
    if keeps_all(precision, DTYPES[fingerprint.dtype]):
        return dict.fromkeys(fingerprint.layers, 1.0)
    fresh = {id(each) for each in new}
    searched = [*new, *_newest([each for each in among if id(each) not in fresh], AMONG)]
    places = sample([len(each) if id(each) in fresh else 0 for each in searched])
    return {
        layer: recall([each.keys[layer].detach().cpu() for each in searched], places, precision)
        for layer in fingerprint.layers
    }


def _newest(documents: Sequence[Document], entries: int) -> list[Document]:
    """The last documents, until they have so many entries."""
    found: list[Document] = []
    for each in reversed(documents):
        if entries <= 0:
            break
        found.append(each)
        entries -= len(each)
    return found
