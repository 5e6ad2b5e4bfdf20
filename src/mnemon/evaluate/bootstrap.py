from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnemon.config import Problem
from mnemon.evaluate.scored import Scored

CHUNK = 1000  # samples drawn at once


@dataclass(frozen=True)
class Difference:
    """Bits per byte of one reading less those of another, with the interval that holds 95 % of the samples."""

    bits_per_byte: float
    low: float
    high: float
    documents: int

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def bootstrap(a: Sequence[Scored], b: Sequence[Scored], seed: int, samples: int = 10_000) -> Difference:
    """`a` less `b` in bits per byte over the same documents, paired: a sample draws documents with replacement.

    d = sum_i bits_a,i / sum_i bytes_i - sum_i bits_b,i / sum_i bytes_i, a ratio of sums, so that a long document
    counts by its length. Interval: 2.5 and 97.5 percentiles (Efron and Tibshirani 1993, chapter 13).
    """
    if [each.document for each in a] != [each.document for each in b] or not a:
        raise Problem("the two readings are not of the same documents, so they cannot be compared in pairs")
    bits = np.array([[first.total_bits, second.total_bits] for first, second in zip(a, b, strict=True)])
    sizes = np.array([[first.total_bytes, second.total_bytes] for first, second in zip(a, b, strict=True)])
    draws = np.random.default_rng(seed)
    n = len(bits)
    found = []
    for first in range(0, samples, CHUNK):
        times = draws.multinomial(n, np.full(n, 1 / n), size=min(CHUNK, samples - first))
        rates = (times @ bits) / np.maximum(times @ sizes, 1)
        found.append(rates[:, 0] - rates[:, 1])
    low, high = np.quantile(np.concatenate(found), [0.025, 0.975])
    whole = bits.sum(0) / np.maximum(sizes.sum(0), 1)
    return Difference(float(whole[0] - whole[1]), float(low), float(high), n)
