from collections.abc import Callable, Sequence
from pathlib import Path

from mnemon.config import Problem, nearest, read_json
from mnemon.data.byte_tokens import Bytes
from mnemon.data.document import Corpus, Document, Place
from mnemon.data.lanes import Batch, Lanes, inputs_and_targets
from mnemon.data.options import DataConfig
from mnemon.data.python_env import load_python_env
from mnemon.data.subwords import Subwords, read_supplied, train_bpe
from mnemon.data.tokenizer import Tokenizer

__all__ = [
    "DATASETS",
    "TOKENIZERS",
    "Batch",
    "Corpus",
    "DataConfig",
    "Document",
    "Lanes",
    "Place",
    "Tokenizer",
    "inputs_and_targets",
    "load_corpus",
    "load_tokenizer",
    "make_tokenizer",
]

DATASETS: dict[str, Callable[[str, DataConfig], Corpus]] = {"python-env": load_python_env}
TOKENIZERS: dict[str, Callable[[DataConfig, Sequence[Document]], Tokenizer]] = {
    "bytes": lambda options, documents: Bytes(),
    "bpe": lambda options, documents: train_bpe(documents, options.vocab_size or 1024),
    "file": lambda options, documents: read_supplied(str(options.tokenizer_file)),
}


def load_corpus(source: str, options: DataConfig) -> Corpus:
    """The documents of a source in three splits; a `Problem` naming the nearest known source otherwise."""
    if source not in DATASETS:
        raise Problem(f"data source {source!r}: not known{nearest(source, list(DATASETS))}")
    return DATASETS[source]("", options)


def make_tokenizer(options: DataConfig, documents: Sequence[Document]) -> Tokenizer:
    """The tokenizer that the options ask for, built from the training documents where its kind learns from text."""
    if options.tokenizer not in TOKENIZERS:
        raise Problem(f"tokenizer {options.tokenizer!r}: not known{nearest(options.tokenizer, list(TOKENIZERS))}")
    return TOKENIZERS[options.tokenizer](options, documents)


def load_tokenizer(path: Path | str) -> Tokenizer:
    """The tokenizer that a `tokenizer.json` holds."""
    values = read_json(Path(path))
    return Subwords.read(values) if "model" in values else Bytes()
