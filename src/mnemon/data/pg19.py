from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mnemon.config import Problem
from mnemon.data.archive import Files, files_of
from mnemon.data.document import Corpus, Document
from mnemon.data.hub import rows
from mnemon.data.named import Check, Named
from mnemon.data.options import DataConfig
from mnemon.data.order import shuffled
from mnemon.data.source import HUB_SPLITS, SPLITS
from mnemon.data.splits import corpus_of, distinct
from mnemon.data.text import decoded

NAME = "pg-19"
# deepmind/pg19 needs a loading script; this is the same as plain files.
HUB = "emozilla/pg19"
BOOKS = 28_602 + 50 + 100


def read(place: Path, options: DataConfig) -> Corpus:
    """A book a file in the folders `train`, `validation` and `test`.

    With `max_documents` only the books that are kept are read at all: the whole takes 12 GB of memory.
    """
    files = files_of(place)
    skipped: Counter[str] = Counter()
    splits = {split: list(distinct(_books(files, split, place, options, skipped), skipped)) for split in SPLITS}
    if not any(splits.values()):
        raise Problem(f"{place}: no train/*.txt, validation/*.txt or test/*.txt there")
    return corpus_of(NAME, splits, skipped, place)


def _books(files: Files, split: str, place: Path, options: DataConfig, skipped: Counter[str]) -> Iterator[Document]:
    folders = (split, HUB_SPLITS[split])
    found = {name: name.split("/")[-2:] for name in files if name.endswith(".txt")}
    books = {parts[1].removesuffix(".txt"): name for name, parts in found.items() if parts[0] in folders}
    # The choice and the order are those of `load_corpus`, which then finds nothing to leave out.
    chosen = set(shuffled(books, "some")[: options.max_documents])
    skipped["beyond max_documents"] += len(books) - len(chosen)
    for book, name in books.items():
        text = decoded(files[name](), f"{place}/{name}", options.strict, skipped) if book in chosen else None
        if text is not None:
            yield Document(book, text, str(place), ((0, name),))


def fetch(options: DataConfig) -> Corpus:
    """The copy on the Hugging Face hub; with `max_documents` only its first books are fetched."""
    skipped: Counter[str] = Counter()
    splits: dict[str, list[Document]] = {}
    for split in SPLITS:
        books = []
        for number, row in enumerate(rows(NAME, HUB_SPLITS[split], HUB, streaming=options.max_documents is not None)):
            if number == options.max_documents:
                break
            book = f"{split}/{row['short_book_title']}"
            books.append(Document(f"{book}#{number}", row["text"], HUB, ((0, book),)))
        splits[split] = list(distinct(books, skipped))
    return corpus_of(NAME, splits, skipped, HUB)


def checks(corpus: Corpus) -> list[Check]:
    """The number of books in the three splits, those that were left out among them."""
    return [Check("books", len(corpus.documents) + sum(corpus.skipped.values()), BOOKS)]


PG19 = Named(
    name=NAME,
    about="English books of Project Gutenberg from before 1919, one document a book",
    licence="Apache-2.0 (the collection); the books are in the public domain in the USA",
    origin="https://github.com/google-deepmind/pg19",
    read=read,
    lines=True,
    fetch=fetch,
    checks=checks,
)
