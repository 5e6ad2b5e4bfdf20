import abc
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnemon.config import write_json

FORMAT = "mnemon-tokenizer"
VERSION = 1
Ids = NDArray[np.int32]
Spans = NDArray[np.int64]


class Tokenizer(abc.ABC):
    """Text to token ids and back; saved to and loaded from one `tokenizer.json`.

    `start` is the id fed before the first token of a document, so that every token is predicted; where it is None, the
    first token of a document is context only. `eos` is the id of a line end, where the vocabulary has one.
    """

    vocab_size: int
    start: int | None
    eos: int | None = None

    @abc.abstractmethod
    def encode(self, text: str) -> Ids:
        """The ids of the text, without `start`."""

    @abc.abstractmethod
    def decode(self, ids: Ids | list[int]) -> str:
        """The text of the ids; `start` stands for nothing."""

    @abc.abstractmethod
    def spans(self, text: str) -> Spans:
        """First and one past last character of each token of `encode(text)`, as rows `[n 2]`."""

    @abc.abstractmethod
    def values(self) -> dict[str, Any]:
        """What `tokenizer.json` holds."""

    def save(self, path: Path | str) -> None:
        """Write `tokenizer.json` to `path`, whole or not at all."""
        write_json(Path(path), self.values())

    def n_bytes(self, text: str) -> int:
        """UTF-8 bytes of the text: the denominator of bits per byte, the same for every tokenizer."""
        return len(text.encode("utf-8"))


def byte_spans(data: bytes) -> Spans:
    """The character that each byte of UTF-8 text belongs to, as rows `[n 2]`."""
    first = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
    character = np.cumsum(first) - 1
    return np.stack([character, character + 1], axis=1)
