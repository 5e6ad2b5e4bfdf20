import contextlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mnemon.config import Problem, nearest, sync_folder, told
from mnemon.memory.access import alone, same, there
from mnemon.memory.checks import misfit
from mnemon.memory.contents import Contents, Entry, Key
from mnemon.memory.document import Document
from mnemon.memory.fingerprint import Fingerprint
from mnemon.memory.folder import clean
from mnemon.memory.index_file import Part, State, append, named, read_state, write
from mnemon.memory.precision import DTYPES, INT8, keeps_all
from mnemon.memory.storing import measured, stored

PARTS = 16  # that an index has at least before it is written anew


@dataclass(frozen=True)
class Saved:
    """What a save did: documents written, already there, and no longer there; bytes of all that are; see `Contents`
    for `precision` and `recall`. `documents` are the entries of what was given, in its order.
    """

    written: int
    kept: int
    removed: int
    bytes: int
    precision: str
    recall: dict[int, float]
    documents: tuple[Entry, ...] = field(repr=False)


@contextlib.contextmanager
def writing(folder: str | Path, fingerprint: Fingerprint, precision: str | None = None) -> Iterator["Writer"]:
    """The memory in `folder`, to be changed by nobody else meanwhile; begun with the first change if it is not there.

    What a change has returned from is on the disk for good. `precision`: a floating type, or "int8" with a scale a
    vector; as the memory is, or, if it is new, as the tensors are, where none is given.
    """
    folder = Path(folder)
    if fingerprint.dtype not in DTYPES:
        raise Problem(
            f"{folder}: entries in {fingerprint.dtype!r} cannot be saved{nearest(fingerprint.dtype, [*DTYPES])}"
        )
    if precision not in (None, INT8, *DTYPES):
        raise Problem(f"precision {precision!r}: no such precision{nearest(str(precision), [*DTYPES, INT8])}")
    with alone(folder) as before:
        if before is not None:
            same(folder, before.contents.fingerprint, fingerprint)
        precision = precision or (before.contents.precision if before else fingerprint.dtype)
        writer = Writer(folder, before, fingerprint, precision)
        yield writer
        writer.compact()


class Writer:
    """Changes a memory's folder; `writing` makes it.

    A change costs what is new: document files stay as they are, and the index gets a part that says what changed. Once
    there are many parts for what it holds, the index is written anew, so that a change costs the same on average.
    """

    def __init__(self, folder: Path, before: State | None, fingerprint: Fingerprint, precision: str):
        self.folder, self.fingerprint, self.precision = folder, fingerprint, precision
        self.new = before is None
        self._take(before or State(Contents(fingerprint=fingerprint, precision=precision, documents=()), (), ""))

    def _take(self, state: State) -> None:
        self._state, self._parts, self._tip = state, len(state.parts), state.tip
        self.entries = named(state.contents.documents)
        self._used = Counter(each.file for each in self.entries.values())

    @property
    def lossy(self) -> bool:
        """Whether numbers are rounded when they are stored, so that `change` has something to measure."""
        return not keeps_all(self.precision, DTYPES[self.fingerprint.dtype])

    @property
    def contents(self) -> Contents:
        """What the folder holds."""
        return Contents(fingerprint=self.fingerprint, precision=self.precision, documents=tuple(self.entries.values()))

    def become(self, documents: Sequence[Document], known: Mapping[Key, Entry] | None = None) -> Saved:
        """Make the memory these documents, in this order; what it holds already is not written again.

        `known`: entries that hold documents exactly as they are given, as an earlier call said; these are not even
        looked at. The others are such as `refuse` lets pass. Until the new index stands in place of the old one the
        memory is what it was.
        """
        known = known or {}
        with self._settling():
            present = {each.file: each for each in self.entries.values() if there(self.folder, each)}
            entries = [self._held(each, present, known) or self._stored(each, present) for each in documents]
            new = [entry.file not in present for entry in entries]
            fresh = [document for document, is_new in zip(documents, new, strict=True) if is_new]
            kept = measured(fresh, documents, self.fingerprint, self.precision)
            entries = [each.replace(recall=kept) if is_new else each for each, is_new in zip(entries, new, strict=True)]
            gone = self.entries.keys() - {each.key for each in entries}
            contents = Contents(fingerprint=self.fingerprint, precision=self.precision, documents=tuple(entries))
            self._begun(contents)
        return Saved(
            sum(new), len(new) - sum(new), len(gone), contents.bytes, self.precision, contents.recall, tuple(entries)
        )

    def change(
        self,
        came: Sequence[Document] = (),
        gone: Collection[Key] = (),
        cut: Mapping[Key, Document] | None = None,
        among: Sequence[Document] = (),
    ) -> tuple[Entry, ...]:
        """Take documents away, and add others behind those that are left: both, or nothing. The entries of `came`.

        `cut`: documents that have lost their oldest entries, as they are now. `among`: what is searched beside what
        came, to measure what its precision keeps.
        """
        taken = self.entries.keys() - set(gone) - (cut or {}).keys()
        refuse(self.folder, [*came, *(cut or {}).values()], self.fingerprint, taken)
        with self._settling():
            if self.new:
                self._begun(self.contents)
            kept = measured(came, [*among, *came], self.fingerprint, self.precision)
            entries = tuple(self._stored(each).replace(recall=kept) for each in came)
            changed = tuple(self._cut(self.entries[key], document) for key, document in (cut or {}).items())
            part = Part(gone=tuple(gone), changed=changed, came=entries)
            _, self._tip = append(self.folder, self._tip, part)
            before = [self.entries[key] for key in (*gone, *(cut or {}))]
            part.apply(self.entries)
            self._parts += 1
            self._remove(before, (*changed, *entries))
            if self._parts >= max(PARTS, len(self.entries) // 4):
                self.compact()
        return entries

    def compact(self) -> None:
        """One index instead of an index and parts."""
        if self._parts:
            with self._settling():
                self._begun(self.contents)

    def _begun(self, contents: Contents) -> None:
        self._take(write(self.folder, contents))
        self.new = False
        clean(self.folder, contents.files)

    def _remove(self, before: Iterable[Entry], after: Iterable[Entry]) -> None:
        """Take away the files of what was `before` that nothing needs any more."""
        self._used.update(each.file for each in after)
        files = [each.file for each in before]
        self._used.subtract(files)
        left = {file for file in files if self._used[file] <= 0}
        for file in left:
            del self._used[file]
            (self.folder / file).unlink()
        if left:
            sync_folder(self.folder)

    @contextlib.contextmanager
    def _settling(self) -> Iterator[None]:
        """A change that fails, or is interrupted, leaves this object and the folder's files as the index has them."""
        try:
            with told(self.folder):
                yield
        except BaseException:
            if not self.new:
                state = read_state(self.folder)
                self._take(state)
                with contextlib.suppress(OSError):  # the next writer removes what is left
                    clean(self.folder, state.files)
            raise

    def _held(self, document: Document, present: Mapping[str, Entry], known: Mapping[Key, Entry]) -> Entry | None:
        before = known.get((document.namespace, document.name))
        return before if before and before.precision == self.precision and before.file in present else None

    def _stored(self, document: Document, present: Mapping[str, Entry] | None = None) -> Entry:
        return stored(self.folder, document, self.precision, present or {})

    def _cut(self, entry: Entry, document: Document) -> Entry:
        """The entry of a document that lost its oldest entries: of the same file, unless most of that is lost."""
        lost = entry.evicted + entry.entries - len(document)
        if lost <= len(document):
            return entry.replace(entries=len(document), evicted=lost)
        return self._stored(document).replace(recall=entry.recall)


def refuse(folder: Path, documents: Sequence[Document], fingerprint: Fingerprint, taken: Collection[Key] = ()) -> None:
    """A `Problem` if one of the documents does not fit into a memory, or its name is `taken`."""
    names = set(taken)
    for document in documents:
        key = (document.namespace, document.name)
        what = "there are two of that name" if key in names else misfit(document, fingerprint)
        if what:
            raise Problem(f"{folder}: document {document.name!r} cannot be saved: {what}")
        names.add(key)
