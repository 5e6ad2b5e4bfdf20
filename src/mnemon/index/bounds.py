"""How far a product in bfloat16 may lie from the true one, and bfloat16 numbers as integers of the same order."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import BFloat16, Bool, Float, Float32, Float64, Int16
from torch import Tensor

SAMPLE = 256  # keys of a head
HUGE = 2.0**126
LOWEST = -(1 << 15)  # below every score: what nobody may see


@dataclass(frozen=True)
class Reach:
    """Of vectors: the length after rounding to bfloat16, and the length of what rounding took away."""

    length: Float64[np.ndarray, "*b"]
    lost: Float64[np.ndarray, "*b"]

    def largest(self, other: "Reach") -> "Reach":
        return Reach(np.maximum(self.length, other.length), np.maximum(self.lost, other.lost))


def reach(x: Float[Tensor, "*b d"], rounded: BFloat16[Tensor, "*b d"]) -> Reach:
    """The `Reach` of each vector; a little more, as squares below the normal numbers may count as zero."""
    wide, tiny = x.float(), 2.0**-62 * x.shape[-1] ** 0.5
    lost = (wide - rounded).norm(dim=-1) + tiny if x.dtype != torch.bfloat16 else wide.new_zeros(wide.shape[:-1])
    return Reach(rounded.float().norm(dim=-1).double().numpy() + tiny, lost.double().numpy())


def margin(q: Reach, keys: Reach, dim: int, shift: Float64[np.ndarray, "..."]) -> np.ndarray:
    """How far q'.k', summed up in float32, may lie from q.k, whichever of these keys k is.

    With q = q' + r and k = k' + s, where q' and k' are in bfloat16, q.k - q'.k' = r.k + q'.s, at most
    |r| (|k'| + |s|) + |q'| |s| by Cauchy and Schwarz. Adding up d products in float32, in any order and with two
    roundings each, strays by at most 2 (d + 2) 2^-24 |q'| |k'|; the same again is for the float32 scores that
    candidates are compared by, of keys that are longer by up to `shift` where their `centre` was taken away. What is
    below the normal numbers counts as zero: 2^-126 for each product. Where sums may overflow, the margin is infinite.
    """
    rounded = q.lost * (keys.length + keys.lost) + q.length * keys.lost
    added = 4 * (dim + 2) * 2.0**-24 * (q.length + q.lost) * (keys.length + keys.lost + shift)
    tiny = 2.0**-126 * (2 * dim + 2) * (1 + q.length + keys.length)
    apart: np.ndarray = 1.001 * (rounded + added + tiny)  # lengths are themselves computed in float32
    return np.where((q.length + q.lost) * (keys.length + keys.lost + shift) < HUGE, apart, np.inf)


def centre(keys: Float[Tensor, "n m d"], valid: Bool[Tensor, "n _ m"] | None) -> Float32[Tensor, "n d"] | None:
    """The mean of a sample of each head's keys, where it is a good part of what they are; else None.

    Taken away from all keys of a head it changes a query's scores by one number, so that their order is the same; what
    is left is shorter, and less of it is lost in bfloat16.
    """
    step = max(1, keys.shape[1] // SAMPLE)
    sample = keys[:, ::step].float()
    if valid is not None:
        sample = sample.masked_fill(~valid.any(1)[:, ::step, None], 0)
    square = sample.square().sum((1, 2)) / sample.shape[1]
    mean = sample.mean(1)
    return mean if bool((mean.square().sum(-1) > square / 4).any()) else None


def below(best: Int16[np.ndarray, "*b"], apart: Float64[np.ndarray, "*b"]) -> Int16[np.ndarray, "*b"]:
    """The lowest bfloat16 score, as an ordered integer, of what may truly be as good as scored `best`.

    A sum that rounded to `best` is at least half way to the number below it, the true score is at least `apart`
    less, and what truly reaches that may have been summed up to `apart` less again: rounding keeps the order of sums.
    Where `best` is no number that says anything, everything may be as good.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        half = (value(best) + value(np.maximum(best, LOWEST + 1) - 1)) / 2
        least = np.nextafter((half - 2 * apart).astype(np.float32), np.float32(-np.inf))
    bits = least.view(np.int32)
    order = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)
    nearest = np.where(order < 0, ((order + 0x8000) >> 16) - 1, (order + 0x7FFF) >> 16)  # ties go down
    found: np.ndarray = np.where(np.isfinite(least), nearest, LOWEST + 1).astype(np.int16)
    return found


def value(order: Int16[np.ndarray, "*b"]) -> Float64[np.ndarray, "*b"]:
    """The bfloat16 number that an ordered integer stands for."""
    bits = (order ^ ((order >> 15) & 0x7FFF)).astype(np.int32) << 16
    found: np.ndarray = bits.view(np.float32).astype(np.float64)
    return found


def ordered(bits: Int16[Tensor, "*b"], room: Int16[Tensor, "*b"]) -> None:
    """Turn the bits of bfloat16 numbers into integers of the same order, in place."""
    torch.bitwise_right_shift(bits, 15, out=room)
    bits.bitwise_xor_(room.bitwise_and_(0x7FFF))
