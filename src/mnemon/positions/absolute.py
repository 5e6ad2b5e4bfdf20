from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from mnemon.positions.base import Position, SchemeConfig, Since


class LearnedAbsolute(Position):
    """x_t = E[token_t] + P[t]: one learned vector a place, drawn from N(0, std), added where tokens come in.

    arXiv 1706.03762, section 3.5, the variant that is learned. Places beyond the table share its last row.
    """

    def __init__(self, dim: int, length: int, since: Since, std: float):
        super().__init__()
        self.since = since
        self.table = nn.Parameter(torch.randn(length, dim) * std)

    def embed(self, stream: Int[Tensor, "b t"], segment: Int[Tensor, "b t"]) -> Float[Tensor, "b t e"]:
        place = stream if self.since == "stream" else segment
        return nn.functional.embedding(place.clamp(max=len(self.table) - 1), self.table)

    def rotate(self, x: Tensor, position: Tensor) -> Tensor:
        return x

    def query(self, q: Tensor) -> Tensor:
        return q

    def bias(self, q: Tensor, distance: Tensor) -> None:
        return None


class AbsoluteConfig(SchemeConfig):
    """`length`: places that are told apart. `since`: whether they count in the stream or in the segment."""

    absolute: ClassVar[bool] = True
    kind: Literal["absolute"] = "absolute"
    length: int = Field(8192, ge=1)
    since: Since = "stream"
    std: float = 1.0

    def build(self, dim: int, n_heads: int, head_dim: int) -> Position:
        return LearnedAbsolute(dim, self.length, self.since, self.std)
