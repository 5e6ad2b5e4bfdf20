"""From a plain list of documents to a corpus, for sources that have no splits of their own."""

from collections import Counter
from collections.abc import Iterable

from mnemon.config import Problem
from mnemon.data.document import Corpus, Document, fingerprint
from mnemon.data.order import draw, split_of


def divided(name: str, documents: Iterable[Document], skipped: Counter[str], where: object) -> Corpus:
    """A corpus split by a hash of the documents' names, about 80 / 10 / 10, without exact copies and empty texts.

    So a document keeps its split when others are added. Where three documents or more leave a held-out split empty,
    the training documents nearest to its share fill it with one.
    """
    splits: dict[str, list[Document]] = {"train": [], "valid": [], "test": []}
    for document in distinct(documents, skipped):
        splits[split_of(draw("split", document.id))].append(document)
    if sum(map(len, splits.values())) >= 3:
        for held in ("test", "valid"):
            source = max(splits.values(), key=len)
            if not splits[held]:
                moved = max(source, key=lambda document: draw("split", document.id))
                source.remove(moved)
                splits[held].append(moved)
    return corpus_of(name, splits, skipped, where)


def corpus_of(name: str, splits: dict[str, list[Document]], skipped: Counter[str], where: object) -> Corpus:
    """The corpus of these splits; a `Problem` where not one document is left."""
    if not any(splits.values()):
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
        raise Problem(f"{where}: no text to read{f' ({counts})' if counts else ''}; name files of UTF-8 text")
    return Corpus(
        name,
        **splits,
        skipped={reason: count for reason, count in sorted(skipped.items()) if count},
        fingerprint=fingerprint(splits.values()),
    )


def distinct(documents: Iterable[Document], skipped: Counter[str]) -> Iterable[Document]:
    """The documents with a text, each text once."""
    seen: set[str] = set()
    for document in documents:
        if not document.text:
            skipped["empty"] += 1
        elif document.text in seen:
            skipped["exact duplicate"] += 1
        else:
            seen.add(document.text)
            yield document
