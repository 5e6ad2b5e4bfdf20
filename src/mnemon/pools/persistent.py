import math

import torch
from torch import Tensor, nn

from mnemon.config import Config
from mnemon.ops import Shared
from mnemon.pools.base import Fresh, Pool, State


class PersistentPool(Pool):
    """N learned key/value vectors a head that replace the feed-forward layer.

    e_ti = q_t . (sqrt(d_h) Kp_i),  value sqrt(N) Vp_i, in one softmax with the context, without positions.
    Kp ~ N(0, 1/d_h) and Vp ~ N(0, 1/N) are the raw parameters `key`, `value` [h N d]: the factors are applied in the
    forward pass and not folded into the start values, for an optimiser whose step is scale-free moves the real key
    sqrt(d_h) and the real value sqrt(N) times as far. arXiv 1907.01470, section 3.2 and released code.
    """

    def __init__(self, n_heads: int, head_dim: int, n: int):
        super().__init__()
        self.key = nn.Parameter(torch.randn(n_heads, n, head_dim) / math.sqrt(head_dim))
        self.value = nn.Parameter(torch.randn(n_heads, n, head_dim) / math.sqrt(max(n, 1)))

    def init_state(self, rows: int, memory: int | None = None) -> State:
        return State()

    def reset(self, state: State, rows: Tensor, memory: bool = True) -> State:
        return state

    def read(self, state: State, q: Tensor, fresh: Fresh) -> Shared | None:
        n, head_dim = self.key.shape[1:]
        if not n:
            return None
        return Shared(self.key * math.sqrt(head_dim), self.value * math.sqrt(n))

    def update(self, state: State, fresh: Fresh) -> State:
        return state

    def select(self, state: State, rows: Tensor) -> State:
        return state


class PersistentConfig(Config):
    """`n`: vectors a head; equal parameters need n = ffn_dim."""

    n: int = 1024

    def build(self, dim: int, n_heads: int, head_dim: int, segment: int, window: int, cached: int) -> Pool:
        return PersistentPool(n_heads, head_dim, self.n)
