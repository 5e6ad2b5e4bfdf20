from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mnemon.positions.base import Position, SchemeConfig


class Rotary(Position):
    """s_tr = R(t) q_t . R(r) k_r = q_t . R(r - t) k_r: pairs of channels turn by position * base^(-2i/d).

    arXiv 2104.09864, half-split pairing (channel i with i + d/2).
    """

    def __init__(self, head_dim: int, base: float = 10_000.0):
        super().__init__()
        if head_dim % 2:
            raise ValueError(f"rotary positions need an even head_dim, got {head_dim}")
        self.pairs, self.base = head_dim // 2, base

    def embed(self, stream: Tensor, segment: Tensor) -> None:
        return None

    def rotate(self, x: Float[Tensor, "b h t d"], position: Int[Tensor, " t"]) -> Float[Tensor, "b h t d"]:
        exact = torch.promote_types(x.dtype, torch.float32)
        exponent = torch.arange(self.pairs, device=x.device, dtype=exact) / self.pairs
        angle = position.to(exact)[:, None] * self.base**-exponent  # t d/2
        cos, sin = angle.cos(), angle.sin()
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)

    def query(self, q: Tensor) -> Tensor:
        return q

    def bias(self, q: Tensor, distance: Tensor) -> None:
        return None


class RotaryConfig(SchemeConfig):
    kind: Literal["rotary"] = "rotary"
    base: float = 10_000.0

    def build(self, dim: int, n_heads: int, head_dim: int) -> Position:
        return Rotary(head_dim, self.base)
