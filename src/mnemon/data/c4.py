import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from mnemon.config import Problem
from mnemon.data.archive import files_of
from mnemon.data.document import Corpus, Document
from mnemon.data.hub import rows
from mnemon.data.jsonl import load_jsonl
from mnemon.data.named import Check, Named
from mnemon.data.options import DataConfig
from mnemon.data.order import draw
from mnemon.data.source import SPLITS, ready_splits
from mnemon.data.splits import corpus_of, distinct
from mnemon.data.subwords import read_supplied

NAME = "c4-4k"
HUB = ("allenai/c4", "en")
SHARD = re.compile(r"c4-(train|validation)\.\d{5}-of-\d{5}")
SHARDS = {"train": 1024, "validation": 8}
LEAST = 4096
# A subword vocabulary joins no two of these, so that a text has at least as many tokens.
PIECE = re.compile(r"\w+|[^\w\s]+")

Rows = Iterable[tuple[str, dict[str, Any]]]  # with the name of each document


def read(place: Path, options: DataConfig) -> Corpus:
    """The shards `c4-train.00000-of-01024.json.gz` and so on; or JSON Lines files train, valid and test.

    Kept are documents of 4096 tokens or more: by the tokenizer of `tokenizer_file`, else by a lower bound, words and
    runs of marks. `max_documents` ends the reading of train, and of validation, when so many long ones are found;
    the whole is far larger than a computer's memory.
    """
    skipped: Counter[str] = Counter()
    long = _long(options, skipped)
    if place.is_dir() and ready_splits(place, ".jsonl"):
        corpus = load_jsonl(str(place), options)
        splits = {split: list(filter(long, corpus.split(split))) for split in SPLITS}
        return corpus_of(NAME, splits, skipped + Counter(corpus.skipped), place)
    files = files_of(place)
    shards = {found[0]: name for name in files if (found := SHARD.search(name))}
    if not shards:
        raise Problem(f"{place}: no c4-train.00000-of-01024.json.gz or the like there")

    def lines(split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for shard, name in sorted(shards.items()):
            if shard.startswith(f"c4-{split}."):
                for number, line in enumerate(files[name]().split(b"\n"), start=1):
                    if line:
                        yield f"{shard}:{number}", _row(line, f"{place}: {name}: line {number}")

    return _corpus(lines, long, options, skipped, str(place))


def fetch(options: DataConfig) -> Corpus:
    """The first documents that are long enough, read over the network until `max_documents` are found."""
    if options.max_documents is None:
        raise Problem(f"{NAME}: the whole is 305 GB; say how many documents to fetch with --data.max-documents")
    skipped: Counter[str] = Counter()

    def fetched(split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        found = rows(NAME, split, *HUB, streaming=True)
        return ((f"{split}:{number}", row) for number, row in enumerate(found, start=1))

    return _corpus(fetched, _long(options, skipped), options, skipped, "/".join(HUB))


def _corpus(
    of: Callable[[str], Rows], long: Callable[[Document], bool], options: DataConfig, skipped: Counter[str], source: str
) -> Corpus:
    """Train, and the validation documents dealt to valid and test by a hash of their names: C4 has no third split."""
    splits: dict[str, list[Document]] = {split: [] for split in SPLITS}
    for split in SHARDS:
        found = (Document(name, row["text"], source, ((0, row.get("url") or name),)) for name, row in of(split))
        for document in islice(distinct(filter(long, found), skipped), options.max_documents):
            held = "valid" if draw("split", document.id) < 0.5 else "test"
            splits["train" if split == "train" else held].append(document)
    return corpus_of(NAME, splits, skipped, source)


def _long(options: DataConfig, skipped: Counter[str]) -> Callable[[Document], bool]:
    """Whether a document has 4096 tokens or more; shorter ones are counted."""
    tokenizer = read_supplied(options.tokenizer_file) if options.tokenizer_file else None

    def long(document: Document) -> bool:
        if tokenizer is not None:
            enough = len(document.text) >= LEAST and len(tokenizer.encode(document.text)) >= LEAST
        else:
            enough = next(islice(PIECE.finditer(document.text), LEAST - 1, None), None) is not None
        if not enough:
            skipped[f"shorter than {LEAST} tokens"] += 1
        return enough

    return long


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise Problem(f"{where}: not JSON ({error})") from None
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise Problem(f"{where}: no string under 'text'")
    return row


def checks(corpus: Corpus) -> list[Check]:
    """How many of the shards of either split have given documents."""
    seen = {document.id.partition(":")[0] for document in corpus.documents}
    return [
        Check(f"{split} shards", sum(name.startswith(f"c4-{split}.") for name in seen), expected)
        for split, expected in SHARDS.items()
    ]


C4_4K = Named(
    name=NAME,
    about="English web pages of C4 with 4096 tokens or more, one document a page",
    licence="ODC-BY-1.0; the pages are their authors'",
    origin="https://huggingface.co/datasets/allenai/c4 (en)",
    read=read,
    fetch=fetch,
    checks=checks,
)
