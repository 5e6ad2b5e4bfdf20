from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from mnemon.config import Problem
from mnemon.data.document import Document
from mnemon.data.tokenizer import FORMAT, VERSION, Ids, Spans, Tokenizer, byte_spans

LINE_END = ord("\n")


class Symbols(Tokenizer):
    """The symbols of the training text and `<eos>` for a line end: the character vocabulary of the paper.

    A symbol is a byte of UTF-8, as in the preparation of enwik8 that the paper's figures rest on (205 symbols; text8
    has 28). Any text made of the training text's bytes comes back exactly. No start id: the first symbol of a document
    is context only. All-attention networks, arXiv 1907.01470.
    """

    start = None
    eos = 0

    def __init__(self, symbols: Sequence[int]) -> None:
        """`symbols`: byte of each id after 0, which is `<eos>`."""
        self._bytes = np.array([LINE_END, *symbols], np.uint8)
        if len(set(self._bytes.tolist())) != len(self._bytes):
            raise Problem("a vocabulary of symbols holds each byte once, and the line end as <eos>")
        self._ids = np.full(256, -1, np.int32)
        self._ids[self._bytes] = np.arange(len(self._bytes))
        self.vocab_size = len(self._bytes)

    @classmethod
    def of(cls, documents: Sequence[Document]) -> Self:
        """The vocabulary of the training documents."""
        counts = np.zeros(256, np.int64)
        for document in documents:
            counts += np.bincount(np.frombuffer(document.text.encode("utf-8"), np.uint8), minlength=256)
        return cls([int(symbol) for symbol in np.flatnonzero(counts) if symbol != LINE_END])

    @classmethod
    def read(cls, values: dict[str, Any]) -> Self:
        """The tokenizer that `tokenizer.json` holds."""
        return cls([int(symbol) for symbol in values["symbols"]])

    def encode(self, text: str) -> Ids:
        data = np.frombuffer(text.encode("utf-8"), np.uint8)
        ids = self._ids[data]
        if len(ids) and ids.min() < 0:
            at = int(np.flatnonzero(ids < 0)[0])
            near = bytes(data[max(0, at - 20) : at + 20]).decode("utf-8", errors="replace")
            raise Problem(f"byte {data[at]} at {at} ({near!r}) is no symbol of the training text; use bytes or bpe")
        return ids

    def decode(self, ids: Ids | list[int]) -> str:
        return self._bytes[np.asarray(ids, np.int64)].tobytes().decode("utf-8", errors="replace")

    def spans(self, text: str) -> Spans:
        return byte_spans(text.encode("utf-8"))

    def values(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": VERSION, "kind": "symbols", "symbols": self._bytes[1:].tolist()}
