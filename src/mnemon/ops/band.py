from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Band:
    """Which keys of the recent past a query sees, and how, by their distance alone.

    t queries stand at the last t of n positions: key j lies at distance x = i - j + n - t from query i, and is seen
    where `first` <= x <= `last` and, row by row, where it is `valid`. `bias` is added to the scores and `weight` w in
    [0, 1] multiplies their exponentials (the soft span of arXiv 1905.07799, eq. 2); both have one column a distance,
    furthest first, as keys stand: column c belongs to x = `last` - c.
    """

    first: int
    last: int
    bias: Float[Tensor, "#b #h #t x"] | None = None
    weight: Float[Tensor, "h x"] | None = None
    valid: Bool[Tensor, "b n"] | None = None

    @property
    def width(self) -> int:
        """The number of distances."""
        return self.last - self.first + 1

    def distances(self, device: torch.device) -> Int[Tensor, " x"]:
        """The distances, furthest first."""
        return torch.arange(self.last, self.first - 1, -1, device=device)

    def spread(
        self, t: int, n: int, device: torch.device
    ) -> tuple[Float[Tensor, "#b #h t n"] | None, Bool[Tensor, "#b 1 t n"], Float[Tensor, "h t n"] | None]:
        """(bias, seen, weight) laid out per query and key, as `partial_dense` takes them."""
        distance = torch.arange(n - t, n, device=device)[:, None] - torch.arange(n, device=device)
        seen = (distance >= self.first) & (distance <= self.last)
        whole = seen[None, None] if self.valid is None else seen & self.valid[:, None, None, :]
        column = (self.last - distance).clamp(0, self.width - 1)  # t n; what is not seen holds rubbish
        bias = self.bias
        if bias is not None:
            bias = bias.expand(-1, -1, t, -1).gather(-1, column.expand(*bias.shape[:2], -1, -1))
        return bias, whole, None if self.weight is None else self.weight[:, column]
