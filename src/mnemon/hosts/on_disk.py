from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from mnemon.memory import Document, DocumentStore, Entry, Writer
from mnemon.memory.precision import AMONG

Key = tuple[str, str]  # namespace and name of a document


@dataclass
class OnDisk:
    """Which entry of a folder holds which document exactly as it was remembered.

    A document is told by its tensor of tokens: a store keeps the very same one for as long as a document is the same.
    """

    entries: dict[Key, tuple[Tensor, Entry]] = field(default_factory=dict)

    def note(self, documents: Iterable[Document], entries: Iterable[Entry]) -> None:
        """These are the entries of these documents, and there are no others."""
        self.entries = {each.key: (document.tokens, each) for document, each in zip(documents, entries, strict=True)}

    def known(self, documents: Iterable[Document]) -> dict[Key, Entry]:
        """Entries of those documents that are as they were."""
        found = {}
        for each in documents:
            tokens, entry = self.entries.get((each.namespace, each.name), (None, None))
            if entry is not None and tokens is each.tokens:
                found[entry.key] = entry
        return found

    def bring(self, stores: Mapping[str, DocumentStore], writer: Writer) -> None:
        """Tell the writer what came, went and was cut in the stores since the last time; it costs what is new."""
        now = {(space, name): tokens for space, store in stores.items() for name, tokens in store.tokens().items()}
        differ = {key: tokens for key, tokens in now.items() if self.entries.get(key, (None,))[0] is not tokens}
        cut = {key for key, tokens in differ.items() if key in self.entries and _end_of(self.entries[key][0], tokens)}
        gone = [key for key in self.entries if key not in now or (key in differ and key not in cut)]
        if not differ and not gone:
            return
        fresh = [each for each in _of(stores, differ.keys()) if (each.namespace, each.name) not in cut]
        shorter = {(each.namespace, each.name): each for each in _of(stores, cut)}
        among = _of(stores, _newest(now)) if writer.lossy else ()
        entries = writer.change(fresh, gone, shorter, among)
        for key in gone:
            del self.entries[key]
        for document, entry in zip(fresh, entries, strict=True):
            self.entries[entry.key] = (document.tokens, entry)
        for key in cut:
            self.entries[key] = (now[key], writer.entries[key])


def _end_of(old: Tensor, new: Tensor) -> bool:
    """Whether a store has cut `new` from `old`, which leaves a view of its end."""
    return len(new) < len(old) and new.untyped_storage().data_ptr() == old.untyped_storage().data_ptr()


def _newest(tokens: Mapping[Key, Tensor]) -> set[Key]:
    """The newest documents that have so many entries as a search for what a precision keeps looks among."""
    found, entries = set(), 0
    for key in reversed([*tokens]):
        found.add(key)
        entries += len(tokens[key])
        if entries >= AMONG:
            break
    return found


def _of(stores: Mapping[str, DocumentStore], keys: Collection[Key]) -> list[Document]:
    """These documents with their keys and values, oldest first in each namespace."""
    found: list[Document] = []
    for space in dict.fromkeys(space for space, _ in keys):
        found += stores[space].documents({name for of, name in keys if of == space})
    return found
