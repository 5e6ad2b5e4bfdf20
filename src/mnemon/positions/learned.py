from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mnemon.positions.base import Position, SchemeConfig


class LearnedRelative(Position):
    """s_tr = q_t . (k_r + p_(t-r)): one learned vector a distance, on the key side only.

    arXiv 1905.07799 eq. 1, used by 1907.01470: a table [d, span] drawn from N(0, 1), shared by all heads and layers.
    Column j belongs to distance j + `first` (1 where a token does not see itself); what lies further than the table
    shares its last column, what lies nearer its first.
    Deviation: the released code orders the columns from the furthest distance to the nearest.
    """

    def __init__(self, head_dim: int, span: int, first: int = 1):
        super().__init__()
        self.first = first
        self.table = nn.Parameter(torch.randn(head_dim, span))

    def embed(self, stream: Tensor, segment: Tensor) -> None:
        return None

    def rotate(self, x: Tensor, position: Tensor) -> Tensor:
        return x

    def query(self, q: Tensor) -> Tensor:
        return q

    def bias(self, q: Float[Tensor, "b h t d"], distance: Int[Tensor, " x"]) -> Float[Tensor, "b h t x"]:
        return q @ self.table.index_select(1, (distance - self.first).clamp(0, self.table.shape[1] - 1))


class LearnedConfig(SchemeConfig):
    kind: Literal["learned"] = "learned"
    span: int = 8192
    first: int = 1

    def build(self, dim: int, n_heads: int, head_dim: int) -> Position:
        return LearnedRelative(head_dim, self.span, self.first)
