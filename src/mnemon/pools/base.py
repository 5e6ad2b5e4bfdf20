from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mnemon.ops import Hidden, Neighbours, Shared

Merge = Literal["joint", "gated", "added", "beside"]


@dataclass(frozen=True)
class Fresh:
    """A segment on its way through one layer.

    `x` are attention's inputs; `k`, `v` the keys (normalised, un-rotated) and values made of them, absent while pools
    are read. `position` is each row's stream position of the first token, `lengths` the number of real tokens and
    `ends` the rows whose document ends here (all three on the CPU; None: every token is real, no document ends).
    `reach` is how far back the layer's longest span may soon look (None: as far as its window). `found` is what a kNN
    memory gave to the segment's queries and `weights` the attention that each neighbour had, known after reading.
    `recent`: keys and values of the cached past and of the segment behind it, as attention has put them together.
    """

    x: Float[Tensor, "b t e"]
    position: Int[Tensor, " b"]
    k: Float[Tensor, "b h t d"] | None = None
    v: Float[Tensor, "b h t d"] | None = None
    lengths: Int[Tensor, " b"] | None = None
    ends: Bool[Tensor, " b"] | None = None
    reach: int | None = None
    recent: tuple[Float[Tensor, "b h seen d"], Float[Tensor, "b h seen d"]] | None = None
    found: Neighbours | None = None
    weights: Float[Tensor, "b h t n"] | None = None

    def real(self) -> Int[Tensor, " b"]:
        """Number of real tokens a row."""
        return torch.full((self.x.shape[0],), self.x.shape[1]) if self.lengths is None else self.lengths


@dataclass(frozen=True)
class State:
    """What one pool remembers for each row: a frozen record of tensors, written to disk field by field."""

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """Every tensor of the record under its name: the live ones, to be written or copied before the next commit."""
        found: dict[str, Tensor] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                found[f"{prefix}.{field.name}"] = value.contiguous()
        return found

    def loaded(self, prefix: str, tensors: dict[str, Tensor]) -> Self:
        """The record with the tensors saved under `prefix`."""
        names = [field.name for field in fields(self) if f"{prefix}.{field.name}" in tensors]
        changes: dict[str, Any] = {name: tensors[f"{prefix}.{name}"] for name in names}
        return replace(self, **changes)


class Pool(nn.Module, ABC):
    """A source of keys and values for attention: five methods and the way it merges with the other pools.

    `read` is pure; `update` takes the segment's detached keys and values and is called by the owner of the state,
    after `backward`. A pool knows nothing of softmax, projections, layers or other pools.

    `merge`: in one softmax with the others (joint), by a gate, as a softmax of its own whose output is added, or in
    heads of its own beside those of the others; `heads` is the number of such heads.
    """

    merge: ClassVar[Merge] = "joint"
    heads: int = 0

    @abstractmethod
    def init_state(self, rows: int, memory: int | None = None) -> State:
        """The state of `rows` rows that have read nothing; `memory` overrides the capacity of a kNN memory."""

    @abstractmethod
    def reset(self, state: Any, rows: Bool[Tensor, " b"], memory: bool = True) -> State:
        """The state with everything forgotten in `rows`; with `memory=False`, all but what a kNN memory holds."""

    @abstractmethod
    def read(self, state: Any, q: Float[Tensor, "b h t d"], fresh: Fresh) -> Shared | Hidden | Neighbours | None:
        """What queries `q` (normalised, un-rotated, unscaled) may see; None where the pool holds nothing at all."""

    @abstractmethod
    def update(self, state: Any, fresh: Fresh) -> State:
        """The state after the segment."""

    @abstractmethod
    def select(self, state: Any, rows: Int[Tensor, " b2"]) -> State:
        """The state whose row i is the old row `rows[i]` (beam search)."""
