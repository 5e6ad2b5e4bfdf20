from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mnemon.positions.absolute import Absolute
from mnemon.positions.base import Position, SchemeConfig, Since
from mnemon.positions.transformer_xl import sinusoid


class Sines(nn.Module):
    """[sin(t w_i), cos(t w_i)], w_i = 10000^(-2i/dim), fixed.

    arXiv 1706.03762, section 3.5, with all sines before all cosines.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, place: Int[Tensor, " n"]) -> Float[Tensor, "n e"]:
        return sinusoid(place, self.dim, torch.float32)


class SinusoidalConfig(SchemeConfig):
    """`since`: whether places count in the stream or in the segment."""

    absolute: ClassVar[bool] = True
    kind: Literal["sinusoidal"] = "sinusoidal"
    since: Since = "stream"

    def build(self, dim: int, n_heads: int, head_dim: int) -> Position:
        return Absolute(Sines(dim), self.since)
