from collections import Counter
from pathlib import Path

from mnemon.config import Problem
from mnemon.data.document import Corpus, Document
from mnemon.data.options import DataConfig
from mnemon.data.source import SPLITS, ready_splits
from mnemon.data.splits import corpus_of
from mnemon.data.text import decoded_strictly, read_bytes, unpacked_name


def load_bytes(path: str, options: DataConfig) -> Corpus:
    """One continuous text such as enwik8 or text8: its first 90 % train, the next 5 % valid, the last 5 % test.

    A file of 100,000,000 bytes so gives the usual 90M / 5M / 5M. A folder with `train`, `valid` and `test` files
    (`.txt`, perhaps packed) has these splits. Each split is one stream, which lanes cut into equal parts.

    Deviation: a split begins up to three bytes earlier where the usual place lies inside a character.
    """
    place = Path(path)
    ready = ready_splits(place, ".txt") if place.is_dir() else {}
    if ready:
        name = place.resolve().name
        texts = {split: _text(file) for split, file in ready.items()}
    elif place.is_dir():
        raise Problem(f"{path}: a byte stream is a file, or a folder with train.txt, valid.txt and test.txt")
    else:
        name = unpacked_name(place)
        texts = dict(zip(SPLITS, pieces(_text(place)), strict=True))
    splits: dict[str, list[Document]] = {split: [] for split in SPLITS}
    for split, text in texts.items():
        if text:
            splits[split].append(Document(f"{name}:{split}", text, path, ((0, f"{name}:{split}"),), stream=True))
    return corpus_of(name, splits, Counter(), path)


def _text(file: Path) -> str:
    # A stream is one file: skipping it would leave nothing.
    return decoded_strictly(read_bytes(file), file)


def pieces(text: str) -> list[str]:
    """The text cut after 90 % and 95 % of its bytes, and no character cut in two."""
    data = text.encode("utf-8")
    first, second = len(data) * 90 // 100, len(data) * 95 // 100
    while first > 0 and data[first] & 0xC0 == 0x80:
        first -= 1
    while second > 0 and data[second] & 0xC0 == 0x80:
        second -= 1
    return [piece.decode("utf-8") for piece in (data[:first], data[first:second], data[second:])]
