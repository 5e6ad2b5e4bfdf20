import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mnemon.positions.base import Position, SchemeConfig


def bucket(distance: Int[Tensor, "*x"], buckets: int, furthest: int) -> Int[Tensor, "*x"]:
    """Causal T5 buckets: half exact, the rest logarithmic up to `furthest`, one for everything beyond."""
    exact = buckets // 2
    far = distance.clamp(min=exact).float()
    log = exact + (torch.log(far / exact) / math.log(furthest / exact) * (buckets - exact)).long()
    return torch.where(distance < exact, distance.clamp(min=0), log.clamp(max=buckets - 1))


class T5Bias(Position):
    """s_tr = q_t . k_r + table[h, bucket(t - r)].

    arXiv 2203.08913 section 3.1: 32 buckets a head, of which 16 are exact and the rest logarithmic to distance 128.
    One table a layer (T5 itself shares one), normal with standard deviation 1/sqrt(buckets).

    With a `slope`, the table starts as table[h, i] = -slope 2^(-8 h / n_heads) distance(i), which is how ALiBi falls
    (arXiv 2108.12409): the first head looks at the token before, the last one far. Deviation, off by default.
    """

    def __init__(self, n_heads: int, buckets: int = 32, furthest: int = 128, slope: float = 0.0):
        super().__init__()
        self.furthest = furthest
        start = torch.randn(n_heads, buckets) / math.sqrt(buckets)
        if slope:
            steps = slope * 2.0 ** (-8 * torch.arange(n_heads) / n_heads)
            start = -steps[:, None] * _distance(buckets, furthest)
        self.table = nn.Parameter(start)

    def embed(self, stream: Tensor, segment: Tensor) -> None:
        return None

    def rotate(self, x: Tensor, position: Tensor) -> Tensor:
        return x

    def query(self, q: Tensor) -> Tensor:
        return q

    def bias(self, q: Tensor, distance: Int[Tensor, " x"]) -> Float[Tensor, "1 h 1 x"]:
        return self.table.index_select(1, bucket(distance, self.table.shape[1], self.furthest))[None, :, None]


def _distance(buckets: int, furthest: int) -> Float[Tensor, " buckets"]:
    """The distance that stands for each bucket: exact ones, then the middle of each logarithmic one."""
    exact = buckets // 2
    log = exact * (furthest / exact) ** ((torch.arange(buckets - exact) + 0.5) / (buckets - exact))
    return torch.cat([torch.arange(exact).float(), log])


class T5Config(SchemeConfig):
    """`slope`: steepness of the first head's bias at the start; 0 starts from random biases, as published."""

    kind: Literal["t5"] = "t5"
    buckets: int = 32
    furthest: int = 128
    slope: float = 0.0

    def build(self, dim: int, n_heads: int, head_dim: int) -> Position:
        return T5Bias(n_heads, self.buckets, self.furthest, self.slope)
