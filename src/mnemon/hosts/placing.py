"""Where remembered keys stand for a rotary host: queries and keys as they meet under each policy.

A host's query is q' = a R(p) q and its key k' = a R(p) k, with a rotation R and, for some scaled ones, a factor a. What
is stored is k. All policies keep both factors, so that scores have the temperature that the host knows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mnemon.hosts.config import MemoryConfig
from mnemon.hosts.kept import Kept
from mnemon.hosts.rotary import Angles, rotate, unrotate
from mnemon.ops import Neighbours

Turn = Callable[[Tensor], Angles | None]


@dataclass
class Place:
    """The rotation of one layer: `angles` of the forward that runs, and `turn`, the host's angles of any positions.

    Both give None in a layer without rotation, for which all policies are the same.
    """

    config: MemoryConfig
    turn: Turn
    angles: Angles | None = None
    _start: Angles | tuple[()] | None = None  # angles of position 0, where they are not plain ones and zeros
    _turned: Kept = field(default_factory=Kept)

    def raw(self, module: nn.Module, x: Float[Tensor, "b h t d"]) -> Float[Tensor, "b h t d"]:
        """The host's queries or keys of this forward before their rotation."""
        return x if self.angles is None else unrotate(module, x, *self.angles)

    def meets(
        self,
        module: nn.Module,
        query: Float[Tensor, "b h t d"],
        raw: Float[Tensor, "b h t d"],
        before: Int[Tensor, " s"],
    ) -> Float[Tensor, "b h t d"]:
        """The queries as they meet what `keys` gives; `before` tokens were there before the host's position 0."""
        if self.angles is None:
            return query
        if self.config.positions == "original":
            shifted = rotate(module, query, *self._at(before[:, None].to(query.device)))
            return self._scaled(module, shifted, unrotate)
        if self.config.positions == "clamped":
            distance = torch.full((1, 1), self.config.clamp, device=query.device)
            query = rotate(module, raw, *self._at(distance))
        elif self.config.positions == "none":
            query = self._scaled(module, raw, rotate)
        return self._scaled(module, query, rotate)

    def _scaled(self, module: nn.Module, x: Tensor, turn: Callable[..., Tensor]) -> Tensor:
        """`x` turned to place 0, or back: the host's factor comes or goes. Where it is 1, as in most, `x` itself."""
        if self._start is None:
            cos, sin = self._at(torch.zeros(1, 1, dtype=torch.long, device=x.device))
            self._start = () if bool((cos == 1).all()) else (cos, sin)
        return turn(module, x, *self._start) if self._start else x

    def keys(self, module: nn.Module, read: Neighbours) -> Float[Tensor, "s g m d"]:
        """The store's keys, rotated at places of their own where they have such: once for each state of the store."""
        if self.angles is None or self.config.positions != "original":
            return read.keys
        return self._turned.of(read.keys, read.version, lambda keys: rotate(module, keys, *self._at(read.positions)))

    def _at(self, positions: Tensor) -> Angles:
        found = self.turn(positions)
        assert found is not None
        return found
