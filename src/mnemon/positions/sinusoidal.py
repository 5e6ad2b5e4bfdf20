from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mnemon.positions.base import Position, SchemeConfig, Since
from mnemon.positions.transformer_xl import sinusoid


class Sinusoidal(Position):
    """x_t = E[token_t] + [sin(t w_i), cos(t w_i)], w_i = 10000^(-2i/dim), fixed, added where tokens come in.

    arXiv 1706.03762, section 3.5, with all sines before all cosines.
    """

    def __init__(self, dim: int, since: Since):
        super().__init__()
        self.dim, self.since = dim, since

    def embed(self, stream: Int[Tensor, "b t"], segment: Int[Tensor, "b t"]) -> Float[Tensor, "b t e"]:
        place = stream if self.since == "stream" else segment
        return sinusoid(place.flatten(), self.dim, torch.float32).view(*place.shape, self.dim)

    def rotate(self, x: Tensor, position: Tensor) -> Tensor:
        return x

    def query(self, q: Tensor) -> Tensor:
        return q

    def bias(self, q: Tensor, distance: Tensor) -> None:
        return None


class SinusoidalConfig(SchemeConfig):
    """`since`: whether places count in the stream or in the segment."""

    absolute: ClassVar[bool] = True
    kind: Literal["sinusoidal"] = "sinusoidal"
    since: Since = "stream"

    def build(self, dim: int, n_heads: int, head_dim: int) -> Position:
        return Sinusoidal(dim, self.since)
