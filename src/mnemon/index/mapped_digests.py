import functools
import hashlib

import torch
from jaxtyping import Float, Int
from torch import Tensor

WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def digests(
    keys: Float[Tensor, "n d"], values: Float[Tensor, "n d"], positions: Int[Tensor, " n"]
) -> Int[Tensor, " n"]:
    """A number for each entry that tells damage to it: one bit that turns over always changes it, all else nearly so.

    digest = c_0 + c_1 p + sum_i c_(i+2) w_i modulo 2^64, with the bits of key and value read as whole numbers w_i, the
    position p, and odd factors c_i that were drawn once.
    """
    factors = _factors(2 * keys.shape[-1] + 2)
    for_key, for_value = factors[2:].chunk(2)
    words = WORDS[keys.element_size()]
    sums = [(x.contiguous().view(words).long() * by).sum(-1) for x, by in ((keys, for_key), (values, for_value))]
    return factors[0] + factors[1] * positions + sums[0] + sums[1]


@functools.cache
def _factors(count: int) -> Tensor:
    said = [hashlib.sha256(b"entry %d" % i).digest()[:8] for i in range(count)]
    return torch.tensor([int.from_bytes(each, "little", signed=True) | 1 for each in said])
