from dataclasses import dataclass, field

from jaxtyping import Int
from torch import Tensor

from mnemon.ops import Neighbours


@dataclass(frozen=True)
class Call:
    """How one forward is made: `searches` keeps neighbour ids, so that a recomputed layer never searches again."""

    searches: dict[tuple[int, str], Neighbours | None] = field(default_factory=dict)
    lengths: Int[Tensor, " b"] | None = None
    inspect: bool = False
