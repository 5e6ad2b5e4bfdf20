import math
from typing import Literal, Self

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from mnemon.config import Config
from mnemon.ops import Shared
from mnemon.pools.base import Fresh, Merge, Pool, State

Form = Literal["all-attn", "attn-split", "head-split", "single-head", "ff-attn"]


class PersistentPool(Pool):
    """N learned key/value vectors a head that replace the feed-forward layer.

    e_ti = q_t . (sqrt(d_h) Kp_i),  value sqrt(N) Vp_i, in one softmax with the context, without positions.
    Kp ~ N(0, 1/d_h) and Vp ~ N(0, 1/N) are the raw parameters `key`, `value` [h N d]: the factors are applied in the
    forward pass and not folded into the start values, for an optimiser whose step is scale-free moves the real key
    sqrt(d_h) and the real value sqrt(N) times as far. arXiv 1907.01470, section 3.2 and released code.
    """

    def __init__(self, n_heads: int, head_dim: int, n: int, merge: Merge = "joint"):
        super().__init__()
        self.merge: Merge = merge  # type: ignore[misc]  # a setting of this pool, a constant of the others
        self.heads = n_heads if merge == "beside" else 0
        self.key = nn.Parameter(torch.randn(n_heads, n, head_dim) / math.sqrt(head_dim))
        self.value = nn.Parameter(torch.randn(n_heads, n, head_dim) / math.sqrt(max(n, 1)))

    @classmethod
    def holding(cls, k: Float[Tensor, "h n d"], v: Float[Tensor, "h n d"], merge: Merge = "joint") -> Self:
        """A pool that reads just these keys and values, to be learned on from there."""
        n_heads, n, head_dim = k.shape
        with torch.device("meta"):
            pool = cls(n_heads, head_dim, n, merge)
        pool.key = nn.Parameter(k.detach() / math.sqrt(head_dim))
        pool.value = nn.Parameter(v.detach() / math.sqrt(max(n, 1)))
        return pool

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
    """`n`: vectors a head; equal parameters need n = ffn_dim, and 0 leaves attention over the context alone.

    `form`, in the paper's words (arXiv 1907.01470, ablation), each with the parameters of the first:
    all-attn: one softmax over context and vectors. attn-split: a softmax each, outputs added. single-head: as
    attn-split, the vectors in one head as wide as all together. head-split: half of the heads see the context alone,
    the others 2 n + dim vectors alone (the second term is what their key and value projections would have been).
    ff-attn: no vectors in attention but a feed-forward layer of inner size n behind it, with softmax instead of ReLU.
    """

    n: int = Field(1024, ge=0)
    form: Form = "all-attn"

    @property
    def splits_heads(self) -> bool:
        """Whether half of the heads belong to the vectors."""
        return self.form == "head-split" and self.n > 0

    @property
    def attended(self) -> bool:
        """Whether there are vectors that attention reads."""
        return self.form != "ff-attn" and self.n > 0

    def build(
        self, dim: int, n_heads: int, head_dim: int, segment: int, window: int, cached: int, faithful: bool = False
    ) -> Pool:
        match self.form:
            case "attn-split":
                return PersistentPool(n_heads, head_dim, self.n, "added")
            case "single-head":
                return PersistentPool(1, n_heads * head_dim, self.n, "added")
            case "head-split":
                return PersistentPool(n_heads, head_dim, 2 * self.n + dim, "beside")
        return PersistentPool(n_heads, head_dim, self.n)
