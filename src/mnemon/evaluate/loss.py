import math
from collections.abc import Sequence

import numpy as np

from mnemon.evaluate.scored import Scored


def nats_per_token(documents: Sequence[Scored]) -> float:
    """Mean of -ln p over all predicted tokens."""
    nats = sum(float(each.nats.sum(dtype=np.float64)) for each in documents)
    return nats / sum(len(each.nats) for each in documents)


def perplexity(documents: Sequence[Scored]) -> float:
    """exp of the nats a token: depends on the tokenizer."""
    return math.exp(nats_per_token(documents))


def perplexity_without_eos(documents: Sequence[Scored]) -> float | None:
    """exp of the nats a token over all tokens but line ends, which are still read.

    None where the tokenizer has no `<eos>`, or nothing else was predicted. All-attention networks, arXiv 1907.01470,
    leave line ends of WikiText-103 out of the figure; the released code counts them.
    """
    nats = [each.nats[~each.eos] for each in documents if each.eos is not None]
    n = sum(map(len, nats))
    return math.exp(sum(float(each.sum(dtype=np.float64)) for each in nats) / n) if n else None


def bits_per_byte(documents: Sequence[Scored]) -> float:
    """Bits of all predicted tokens over the UTF-8 bytes of their text: the same scale for every tokenizer.

    Where the text cannot be put together again from its tokens (unknown words), it is too low.
    """
    return sum(each.total_bits for each in documents) / max(sum(each.total_bytes for each in documents), 1)
