"""Texts that are one stream of symbols: enwik8 and text8."""

import hashlib
from collections import Counter
from pathlib import Path

from mnemon.config import Problem
from mnemon.data.archive import files_of
from mnemon.data.bytes import pieces
from mnemon.data.document import Corpus, Document
from mnemon.data.named import Check
from mnemon.data.source import SPLITS
from mnemon.data.splits import corpus_of
from mnemon.data.text import decoded_strictly


def streams(name: str, texts: dict[str, str], source: str) -> Corpus:
    """A corpus of one stream a split."""
    splits: dict[str, list[Document]] = {split: [] for split in SPLITS}
    for split, text in texts.items():
        if text:
            title = f"{name}:{split}"
            splits[split].append(Document(title, text, source, ((0, title),), stream=True))
    return corpus_of(name, splits, Counter(), source)


def read_stream(name: str, place: Path) -> Corpus:
    """The stream in a file, in a zip archive, or under its name in a folder; or a folder with train, valid and test.

    It is cut into 90 %, 5 % and 5 %, whatever its length; files that are split already stay so.
    """
    files = files_of(place)
    ready = {split: files[f"{split}.txt"] for split in SPLITS if f"{split}.txt" in files}
    if ready:
        return streams(name, {split: _text(read(), place / split) for split, read in ready.items()}, str(place))
    whole = files.get(name) or files.get(f"{name}.txt") or (next(iter(files.values())) if len(files) == 1 else None)
    if whole is None:
        raise Problem(f"{place}: no file {name} there, and no train.txt, valid.txt and test.txt; name the file itself")
    return streams(name, dict(zip(SPLITS, pieces(_text(whole(), place)), strict=True)), str(place))


def stream_checks(corpus: Corpus, md5: str) -> list[Check]:
    """Length and MD5 of the three splits one behind the other; both streams have 100,000,000 bytes."""
    data = b"".join(document.text.encode("utf-8") for document in corpus.documents)
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return [Check("bytes", len(data), 100_000_000), Check("md5", digest, md5)]


def _text(data: bytes, where: Path) -> str:
    # The beginning of a stream may end inside a character: bytes from its first one on are left out.
    first = next((at for at in range(1, min(4, len(data)) + 1) if data[-at] & 0xC0 != 0x80), 0)
    if first and not data[-first:].decode("utf-8", errors="ignore"):
        data = data[:-first]
    return decoded_strictly(data, where)
