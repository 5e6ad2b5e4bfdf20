import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from mnemon.positions.base import Position, SchemeConfig


def sinusoid(position: Int[Tensor, " n"], dim: int, dtype: torch.dtype) -> Float[Tensor, "n e"]:
    """[sin(p w_i), cos(p w_i)] with w_i = 10000^(-2i/dim), computed in float32 at least."""
    exact = torch.promote_types(dtype, torch.float32)
    rate = torch.exp(torch.arange(0, dim, 2, device=position.device, dtype=exact) * (-math.log(10_000.0) / dim))
    angle = position.to(exact)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=-1)[:, :dim].to(dtype)


class TransformerXLPosition(Position):
    """s_tr = (q_t + u) . k_r + (q_t + v) . W_r r_(t-r), with sinusoidal r (arXiv 1901.02860, section 3.3).

    u and v are [h d], learned, zero at the start (the released code draws them from N(0, 0.02)). Keys further away
    than `clamp` count as being that far: for evaluation with a longer cache than that of training.
    """

    def __init__(self, dim: int, n_heads: int, head_dim: int, clamp: int | None = None):
        super().__init__()
        self.dim, self.clamp = dim, clamp
        self.u = nn.Parameter(torch.zeros(n_heads, head_dim))
        self.v = nn.Parameter(torch.zeros(n_heads, head_dim))
        self.project = nn.Linear(dim, n_heads * head_dim, bias=False)

    def embed(self, stream: Tensor, segment: Tensor) -> None:
        return None

    def rotate(self, x: Tensor, position: Tensor) -> Tensor:
        return x

    def query(self, q: Float[Tensor, "b h t d"]) -> Float[Tensor, "b h t d"]:
        return q + self.u[:, None].to(q.dtype)

    def bias(self, q: Float[Tensor, "b h t d"], distance: Int[Tensor, " x"]) -> Float[Tensor, "b h t x"]:
        wave = sinusoid(distance.clamp(0, self.clamp), self.dim, self.project.weight.dtype)
        r = self.project(wave).unflatten(-1, self.v.shape).transpose(0, 1)  # h x d
        return (q + self.v[:, None].to(q.dtype)) @ r.mT.to(q.dtype)


class TransformerXLConfig(SchemeConfig):
    """`clamp`: the furthest distance that is told apart; None: all are."""

    kind: Literal["transformer-xl"] = "transformer-xl"
    clamp: int | None = Field(None, ge=1)

    def build(self, dim: int, n_heads: int, head_dim: int) -> Position:
        return TransformerXLPosition(dim, n_heads, head_dim, self.clamp)
