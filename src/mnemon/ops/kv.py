"""What pools give to attention, and what attention makes of it.

Legend of shapes, used everywhere: `b` rows, `t` queries of the segment, `n` keys of a pool, `k` neighbours,
`m` stored entries, `h` query heads, `g` key/value heads, `d` head dim, `e` model dim, `f` feed-forward dim,
`p` pools; the vocabulary is spelled out.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    """`x` at least in float32, in which scores and softmax are computed; float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def write_count(x: Tensor) -> int:
    """How often `x` was written in place; 0 for tensors of inference mode, where no gradient is taken."""
    return 0 if x.is_inference() else x._version


@dataclass(frozen=True)
class Shared:
    """Keys and values that every query of a row may see: `k`, `v` are [b h n d], or [h n d] for all rows alike.

    `offset`: position of each key relative to the first token of the segment (-1 is the token before it); None for
    keys without a position, which are always seen. `valid`: which keys a row really holds; None means all.
    """

    k: Float[Tensor, "*b h n d"]
    v: Float[Tensor, "*b h n d"]
    offset: Int[Tensor, " n"] | None = None
    valid: Bool[Tensor, "b n"] | None = None


@dataclass(frozen=True)
class Common:
    """Keys and values that all rows share, and the queries that ask them, in whose dtype products are computed."""

    q: Float[Tensor, "b h t d"]
    k: Float[Tensor, "h n d"]
    v: Float[Tensor, "h n d"]


@dataclass(frozen=True)
class Hidden:
    """Hidden states that attention projects to keys and values together with the segment, in one product."""

    h: Float[Tensor, "b n e"]
    offset: Int[Tensor, " n"]
    valid: Bool[Tensor, "b n"] | None = None


@dataclass(frozen=True)
class Neighbours:
    """Indices of retrieved entries, never gathered copies: entry `ids[b, h, t, j]` of store row `rows[b]`.

    `valid` marks real neighbours, `scores` are the search's q.k, `positions` [s m] the stream position of each stored
    entry, [s h m] where heads hold different ones. `version` is the store's write counter at the time of the search:
    reading entries after the store was written again would give other tokens' keys without an exception, so
    `ops.partial` refuses it.
    `zeros`: neighbours that are not valid are not left out but count as entries of key 0 and value 0.
    """

    keys: Float[Tensor, "s h m d"]
    values: Float[Tensor, "s h m d"]
    positions: Int[Tensor, "s *h m"]
    rows: Int[Tensor, " b"]
    ids: Int[Tensor, "b h t k"]
    valid: Bool[Tensor, "b h t k"]
    scores: Float[Tensor, "b h t k"]
    version: int
    zeros: bool = False

    def places(self) -> Int[Tensor, "b h t k"]:
        """Stream position of each neighbour, -1 where there is none."""
        b, h, t, k = self.ids.shape
        of_heads = self.positions if self.positions.ndim == 3 else self.positions[:, None]
        found = of_heads[self.rows].expand(b, h, -1).gather(2, self.ids.flatten(2)).view(b, h, t, k)
        return found.masked_fill(~self.valid, -1)


def check_unwritten(read: Neighbours) -> None:
    """Refuse neighbours whose store was written since they were found."""
    if write_count(read.keys) != read.version:
        raise RuntimeError(
            "the memory was written between search and use: commit the update of a segment after its backward"
        )


@dataclass(frozen=True)
class Partial:
    """What one pool answers: `o = softmax(s) V` and `z = logsumexp(s)`; `o = 0, z = -inf` where nothing is seen.

    z is in float32 at least. `weights` are the softmax weights, kept for inspection only.
    """

    o: Float[Tensor, "b h t d"]
    z: Float[Tensor, "b h t"] | None
    weights: Float[Tensor, "b h t n"] | None = None
