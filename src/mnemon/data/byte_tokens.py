from typing import Any, Self

import numpy as np

from mnemon.data.tokenizer import FORMAT, VERSION, Ids, Spans, Tokenizer, byte_spans


class Bytes(Tokenizer):
    """The 256 bytes of UTF-8 text and a start id: any text, exactly."""

    vocab_size = 257
    start = 256

    @classmethod
    def read(cls, values: dict[str, Any]) -> Self:
        """The tokenizer that `tokenizer.json` holds."""
        return cls()

    def encode(self, text: str) -> Ids:
        return np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int32)

    def decode(self, ids: Ids | list[int]) -> str:
        # A model may write bytes that are not UTF-8: they become the replacement character.
        return bytes(int(i) for i in ids if i < 256).decode("utf-8", errors="replace")

    def spans(self, text: str) -> Spans:
        return byte_spans(text.encode("utf-8"))

    def values(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": VERSION, "kind": "bytes"}
