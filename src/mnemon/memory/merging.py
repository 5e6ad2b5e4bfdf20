import functools
import itertools
import mmap
from collections.abc import Sequence
from pathlib import Path

from mnemon.config import Problem
from mnemon.memory.access import changing, consistent, same, there
from mnemon.memory.contents import Contents, Entry
from mnemon.memory.document_file import DocumentFile
from mnemon.memory.folder import is_memory, put
from mnemon.memory.index_file import read, write


def merge(out: str | Path, folders: Sequence[str | Path], rename: bool = False) -> Contents:
    """A new memory `out` of the documents of several, which must be the same model's; files are copied as they are.

    The same document twice is taken once. Another one of the same name is refused, or with `rename` called `NAME-2`.
    """
    out, sources = Path(out), [Path(folder) for folder in folders]
    if not sources:
        raise Problem(f"{out}: no memories to merge")
    if is_memory(out):
        raise Problem(
            f"{out}: there is a memory already; give a new folder to merge into, and this one among the others"
        )
    first = read(sources[0])
    for source in sources[1:]:
        same(source, read(source).fingerprint, first.fingerprint, str(sources[0]))
    with changing(out):
        taken: dict[tuple[str, str], Entry] = {}
        for source in sources:
            for entry in consistent(source, functools.partial(_copied, source, out)).documents:
                _take(taken, entry, source, rename)
        merged = first.replace(documents=tuple(taken.values()))
        write(out, merged)
    return merged


def _take(taken: dict[tuple[str, str], Entry], entry: Entry, source: Path, rename: bool) -> None:
    """Add a document to those taken, under another name where it must have one."""
    for name in itertools.chain([entry.name], (f"{entry.name}-{number}" for number in itertools.count(2))):
        renamed = entry.replace(name=name)
        other = taken.setdefault(renamed.key, renamed)
        if other.file == entry.file:
            return
        if not rename:
            raise Problem(
                f"{source}: document {entry} is another one than that of a memory before it; forget one, or rename"
            )


def _copied(source: Path, out: Path, contents: Contents) -> Contents:
    for entry in contents.documents:
        file = DocumentFile(source, entry, contents.fingerprint)
        file.verify()
        if not there(out, entry):
            with (
                open(source / entry.file, "rb") as read_from,
                mmap.mmap(read_from.fileno(), 0, prot=mmap.PROT_READ) as raw,
            ):
                put(out / entry.file, [raw], f"document {entry}")
    return contents
