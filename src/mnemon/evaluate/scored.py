import math
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int64

from mnemon.data import Tokenizer


@dataclass(frozen=True)
class Scored:
    """How well one document was predicted, token by token.

    `positions`: which tokens of the document were predicted (the first one only after a start id). `nats`: -log p of
    each. `bytes`: UTF-8 bytes of each; the bytes of all tokens of a document add up to those of its text. `eos`: which
    of them are line ends, where the tokenizer has an `<eos>`.
    """

    document: str
    positions: Int64[np.ndarray, " n"] = field(repr=False)
    nats: Float[np.ndarray, " n"] = field(repr=False)
    bytes: Int64[np.ndarray, " n"] = field(repr=False)
    eos: Bool[np.ndarray, " n"] | None = field(default=None, repr=False)

    @property
    def total_bits(self) -> float:
        """Bits that the document costs."""
        return float(self.nats.sum(dtype=np.float64)) / math.log(2)

    @property
    def total_bytes(self) -> int:
        """UTF-8 bytes of what was predicted."""
        return int(self.bytes.sum())


def token_bytes(text: str, tokenizer: Tokenizer) -> Int64[np.ndarray, " n"]:
    """UTF-8 bytes of each token of a text, with what stands between it and the token before; they sum to the text's.

    Of tokens that share a character the first has its bytes, less one for each other token.
    """
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    widths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    before = np.concatenate([[0], np.cumsum(widths)])  # bytes before each character
    ends = np.maximum.accumulate(tokenizer.spans(text)[:, 1])
    if not len(ends):
        return np.zeros(0, np.int64)
    behind = before[ends]
    behind[-1] = before[-1]  # what follows the last token belongs to it
    sizes = np.diff(behind, prepend=0)
    first = np.maximum.accumulate(np.where(sizes > 0, np.arange(len(sizes)), 0))
    for follower in np.flatnonzero(sizes == 0):
        if sizes[first[follower]] > 1:
            sizes[first[follower]] -= 1
            sizes[follower] = 1
    return sizes
