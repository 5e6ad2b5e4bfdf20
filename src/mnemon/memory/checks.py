from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mnemon.memory.contents import Contents, Entry
from mnemon.memory.document import Document
from mnemon.memory.document_file import Damaged, DocumentFile
from mnemon.memory.fingerprint import Fingerprint
from mnemon.memory.folder import strangers, unnamed
from mnemon.memory.index_file import read_state, watched


@dataclass(frozen=True)
class Finding:
    """Something wrong in a memory's folder: with which document, if with one, and in which file."""

    document: str | None
    file: str
    what: str


def check(folder: str | Path) -> list[Finding]:
    """Everything that is wrong with a memory, read from its first byte to its last; a damaged index is a `Problem`."""
    folder = Path(folder)
    while True:
        with watched(folder) as unchanged:
            state = read_state(folder)
            contents = state.contents
            findings = [found for entry in contents.documents for found in _of_document(folder, contents, entry)]
            if (
                unchanged() and read_state(folder).tip == state.tip
            ):  # else what was found may be of files that a writer took away
                break
    findings += [Finding(None, name, "no file of a memory") for name in strangers(folder)]
    left = "left by a writer that was interrupted; the next change of the memory removes it"
    return findings + [Finding(None, name, left) for name in unnamed(folder, state.files)]


def _of_document(folder: Path, contents: Contents, entry: Entry) -> Iterator[Finding]:
    file = DocumentFile(folder, entry, contents.fingerprint)
    try:
        file.verify()
        document = file.load()
    except FileNotFoundError:
        yield Finding(str(entry), entry.file, "the file is missing")
    except Damaged as damage:
        yield Finding(str(entry), entry.file, damage.what)
    else:
        what = misfit(document, contents.fingerprint)
        if what:
            yield Finding(str(entry), entry.file, what)


def misfit(document: Document, fingerprint: Fingerprint) -> str | None:
    """What keeps a document from a memory of this fingerprint, in words; None where nothing does."""
    shape, dtype = (fingerprint.heads, len(document), fingerprint.dim), f"torch.{fingerprint.dtype}"
    if not len(document.tokens) == len(document.spans) == len(document.positions):
        return f"{len(document.tokens)} tokens, {len(document.spans)} spans and {len(document.positions)} positions"
    for kind, layers in (("keys", document.keys), ("values", document.values)):
        if set(layers) != set(fingerprint.layers):
            return f"{kind} of layers {sorted(layers)} instead of {sorted(fingerprint.layers)}"
        for layer, x in layers.items():
            if tuple(x.shape) != shape:
                return f"{kind} of layer {layer} have shape {tuple(x.shape)} instead of {shape}"
            if str(x.dtype) != dtype:
                return f"{kind} of layer {layer} are in {x.dtype} instead of {dtype}"
            if not bool(x.isfinite().all()):
                return f"{kind} of layer {layer} hold NaN or infinity"
    begins, ends = document.spans.unbind(-1)
    if not bool(((begins >= 0) & (begins <= ends) & (ends <= len(document.text))).all()):
        return f"a span lies outside the {len(document.text):,} characters of the text"
    return None
