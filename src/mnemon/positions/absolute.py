from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from mnemon.positions.base import Position, SchemeConfig, Since


class Absolute(Position):
    """x_t = E[token_t] + P(t), added where tokens come in; t counts in the stream or in the segment.

    `vectors` is P: places as [n] to vectors [n e]. Attention itself sees no positions.
    """

    def __init__(self, vectors: nn.Module, since: Since):
        super().__init__()
        self.vectors, self.since = vectors, since

    def embed(self, stream: Int[Tensor, "b t"], segment: Int[Tensor, "b t"]) -> Float[Tensor, "b t e"]:
        place = stream if self.since == "stream" else segment
        found: Tensor = self.vectors(place.flatten())
        return found.unflatten(0, place.shape)

    def rotate(self, x: Tensor, position: Tensor) -> Tensor:
        return x

    def query(self, q: Tensor) -> Tensor:
        return q

    def bias(self, q: Tensor, distance: Tensor) -> None:
        return None


class Learned(nn.Module):
    """One learned vector a place, drawn from N(0, std). Places beyond the table share its last row.

    arXiv 1706.03762, section 3.5, the variant that is learned.
    """

    def __init__(self, dim: int, length: int, std: float):
        super().__init__()
        self.table = nn.Parameter(torch.randn(length, dim) * std)

    def forward(self, place: Int[Tensor, " n"]) -> Float[Tensor, "n e"]:
        return nn.functional.embedding(place.clamp(max=len(self.table) - 1), self.table)


class AbsoluteConfig(SchemeConfig):
    """`length`: places that are told apart. `since`: whether they count in the stream or in the segment."""

    absolute: ClassVar[bool] = True
    kind: Literal["absolute"] = "absolute"
    length: int = Field(8192, ge=1)
    since: Since = "stream"
    std: float = 1.0

    def build(self, dim: int, n_heads: int, head_dim: int) -> Position:
        return Absolute(Learned(dim, self.length, self.std), self.since)
