from collections.abc import Callable, Sequence
from pathlib import Path

from mnemon.config import Problem, nearest, read_json
from mnemon.data.arxiv_math import ARXIV_MATH
from mnemon.data.byte_tokens import Bytes
from mnemon.data.bytes import load_bytes
from mnemon.data.c4 import C4_4K
from mnemon.data.document import Corpus, Document, Place, fingerprint
from mnemon.data.enwik8 import ENWIK8
from mnemon.data.folder import load_folder
from mnemon.data.github import GITHUB
from mnemon.data.isabelle import ISABELLE
from mnemon.data.jsonl import load_jsonl
from mnemon.data.lanes import NO_TARGET, Batch, Lanes, inputs_and_targets
from mnemon.data.named import Check, Named
from mnemon.data.options import DataConfig
from mnemon.data.order import shuffled
from mnemon.data.pg19 import PG19
from mnemon.data.python_env import load_python_env
from mnemon.data.source import resolved
from mnemon.data.subwords import read_supplied, train_bpe
from mnemon.data.symbols import Symbols
from mnemon.data.text8 import TEXT8
from mnemon.data.tokenizer import FORMAT, VERSION, Tokenizer
from mnemon.data.wikitext103 import WIKITEXT103
from mnemon.data.words import Words

__all__ = [
    "DATASETS",
    "NAMED",
    "NO_TARGET",
    "TOKENIZERS",
    "Batch",
    "Check",
    "Corpus",
    "DataConfig",
    "Document",
    "Lanes",
    "Named",
    "Place",
    "Tokenizer",
    "check_source",
    "inputs_and_targets",
    "load_corpus",
    "load_tokenizer",
    "make_tokenizer",
]

DATASETS: dict[str, Callable[[str, DataConfig], Corpus]] = {
    "python-env": load_python_env,
    "folder": load_folder,
    "jsonl": load_jsonl,
    "bytes": load_bytes,
    "enwik8": ENWIK8,
    "text8": TEXT8,
    "wikitext-103": WIKITEXT103,
    "pg-19": PG19,
    "c4-4k": C4_4K,
    "arxiv-math": ARXIV_MATH,
    "github": GITHUB,
    "isabelle": ISABELLE,
}
NAMED: dict[str, Named] = {name: each for name, each in DATASETS.items() if isinstance(each, Named)}
TOKENIZERS: dict[str, Callable[[DataConfig, Sequence[Document]], Tokenizer]] = {
    "bytes": lambda options, documents: Bytes(),
    "symbols": lambda options, documents: Symbols.of(documents),
    "words": lambda options, documents: Words.of(documents, options.vocab_size),
    "bpe": lambda options, documents: train_bpe(documents, options.vocab_size or 1024),
    "file": lambda options, documents: read_supplied(str(options.tokenizer_file)),
}
# Kinds that have a format of their own; all others are files of the tokenizers library.
_OWN: dict[str, type[Bytes | Symbols | Words]] = {"bytes": Bytes, "symbols": Symbols, "words": Words}


def load_corpus(source: str, options: DataConfig) -> Corpus:
    """The documents of a source in three splits.

    A source is `python-env`, a folder, a glob, a `.jsonl` file, or any other file, read as a byte stream; files may be
    packed as .gz, .xz or .zst. A folder with ready splits is read as such. `folder:PATH`, `jsonl:PATH` and `bytes:PATH`
    say outright how to read a path; `enwik8:PATH` and the like are a copy of a known data set, which is checked.
    """
    kind, path = resolved(source, list(DATASETS), NAMED)
    if kind not in NAMED and options.download:
        raise Problem(f"{source}: nothing to download; that is for known data sets: {', '.join(NAMED)}")
    corpus = DATASETS[kind](path, options)
    most = options.max_documents
    if most is None or max(len(corpus.train), len(corpus.valid), len(corpus.test)) <= most:
        return corpus
    train, valid, test = (_some(documents, most) for documents in (corpus.train, corpus.valid, corpus.test))
    left = len(corpus.documents) - len(train) - len(valid) - len(test)
    skipped = {**corpus.skipped, "beyond max_documents": left}
    return Corpus(corpus.name, train, valid, test, skipped, fingerprint((train, valid, test)))


def check_source(source: str, options: DataConfig) -> tuple[Corpus, list[Check]]:
    """The corpus of a source, be it incomplete, and what it should hold if it is a known data set."""
    kind, _ = resolved(source, list(DATASETS), NAMED)
    corpus = load_corpus(source, options.replace(partial=True))
    return corpus, NAMED[kind].checks(corpus) if kind in NAMED else []


def _some(documents: list[Document], most: int) -> list[Document]:
    """The first `most` documents in the order of a hash of their names, as they stand in the list."""
    chosen = {document.id for document in shuffled(documents, "some", key=lambda document: document.id)[:most]}
    return [document for document in documents if document.id in chosen]


def make_tokenizer(options: DataConfig, documents: Sequence[Document]) -> Tokenizer:
    """The tokenizer that the options ask for, built from the training documents where its kind learns from text."""
    kind = options.tokenizer
    if kind not in TOKENIZERS:
        raise Problem(f"tokenizer {kind!r}: no such kind{nearest(kind, list(TOKENIZERS))}")
    if (kind == "file") != (options.tokenizer_file is not None):
        raise Problem(
            f"tokenizer {kind!r} with tokenizer_file {options.tokenizer_file!r}: give the file with 'file' only"
        )
    if options.vocab_size is not None and kind not in ("bpe", "words"):
        raise Problem(
            f"tokenizer {kind!r} has a vocabulary of its own; vocab_size {options.vocab_size} is for bpe or words"
        )
    if not documents and kind in ("symbols", "words", "bpe"):
        raise Problem(f"tokenizer {kind!r} learns from training documents, and there are none; use bytes or file")
    return TOKENIZERS[kind](options, documents)


def load_tokenizer(path: Path | str) -> Tokenizer:
    """The tokenizer that a `tokenizer.json` holds: one of ours, or one of the `tokenizers` library."""
    path = Path(path)
    values = read_json(path)
    if not isinstance(values, dict):
        raise Problem(f"{path}: not a tokenizer, but a JSON {type(values).__name__}")
    if "model" in values:
        return read_supplied(path)
    if values.get("format") != FORMAT or values.get("kind") not in _OWN:
        raise Problem(f"{path}: neither a tokenizer of mnemon nor one of the tokenizers library")
    if values.get("version") != VERSION:
        raise Problem(f"{path}: tokenizer format {values.get('version')}, this mnemon reads {VERSION}; use a newer one")
    try:
        return _OWN[values["kind"]].read(values)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Problem(f"{path}: damaged tokenizer ({type(error).__name__}: {error})") from None
