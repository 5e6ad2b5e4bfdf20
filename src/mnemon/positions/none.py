from typing import Literal

from torch import Tensor

from mnemon.positions.base import Position, SchemeConfig


class NoPosition(Position):
    """Attention that sees the set of recent keys, not their order."""

    def embed(self, stream: Tensor, segment: Tensor) -> None:
        return None

    def rotate(self, x: Tensor, position: Tensor) -> Tensor:
        return x

    def query(self, q: Tensor) -> Tensor:
        return q

    def bias(self, q: Tensor, distance: Tensor) -> None:
        return None


class NoneConfig(SchemeConfig):
    kind: Literal["none"] = "none"

    def build(self, dim: int, n_heads: int, head_dim: int) -> Position:
        return NoPosition()
