from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.ops import write_count

ALIGN = 1024  # searches see a multiple of this many slots, so that shapes seldom change while a store fills


@dataclass
class RingStore:
    """Keys and values of each row and head in a ring: the oldest entry is overwritten, whatever the capacity.

    `written[b]` counts entries ever written to a row since its reset; slot = count mod m. This is the only object of
    the library that is updated in place. A reset sets the count alone; unwritten slots are never returned.
    `positions` holds each entry's stream position, `version` rises with every write.
    """

    keys: Float[Tensor, "b h m d"]
    values: Float[Tensor, "b h m d"]
    positions: Int[Tensor, "b m"]
    written: Int[Tensor, " b"]

    @classmethod
    def empty(cls, rows: int, heads: int, size: int, dim: int, like: Tensor) -> "RingStore":
        shape = (rows, heads, size, dim)
        keys, values = (torch.empty(shape, dtype=like.dtype, device=like.device) for _ in range(2))
        positions = torch.full((rows, size), -1, dtype=torch.long, device=like.device)
        return cls(keys, values, positions, torch.zeros(rows, dtype=torch.long))

    @property
    def size(self) -> int:
        """Capacity, entries a row."""
        return self.keys.shape[2]

    @property
    def version(self) -> int:
        """Write counter of the key tensor: differs after every write (0 in inference mode, where none is kept)."""
        return write_count(self.keys)

    def used(self) -> int:
        """Slots to search: the fullest row's, rounded up to a multiple of 1024, at most the capacity."""
        fullest = min(int(self.written.max()), self.size) if len(self.written) else 0
        return min(-(-fullest // ALIGN) * ALIGN, self.size)

    def valid(self, slots: int) -> Bool[Tensor, "b m"]:
        """Which of the first `slots` slots hold an entry."""
        filled = self.written.to(self.keys.device)
        return torch.arange(slots, device=self.keys.device) < filled[:, None]

    def reset(self, rows: Bool[Tensor, " b"]) -> None:
        """Forget everything in `rows`."""
        self.written = self.written.masked_fill(rows.cpu(), 0)

    def shuffled(self, seed: int) -> "RingStore":
        """A store with the same keys, whose values are dealt out anew among them, row by row and all heads alike.

        A value keeps its position: what a search finds then tells whose value it was given. The order follows from
        the seed and from how much was written to the row, whatever other rows there are.
        """
        values, positions = self.values.clone(), self.positions.clone()
        for row, written in enumerate(self.written.tolist()):
            count, draw = min(written, self.size), torch.Generator().manual_seed(seed * 1_000_003 + written)
            order = torch.randperm(count, generator=draw).to(values.device)
            values[row, :, :count] = self.values[row, :, order]
            positions[row, :count] = self.positions[row, order]
        return RingStore(self.keys, values, positions, self.written)

    def write(
        self,
        keys: Float[Tensor, "b h n d"],
        values: Float[Tensor, "b h n d"],
        positions: Int[Tensor, "b n"],
        lengths: Int[Tensor, " b"],
    ) -> None:
        """Append the first `lengths[b]` entries of each row; of more than a capacity's worth the last ones stay."""
        b, h, m, d = self.keys.shape
        device = self.keys.device
        lengths = lengths.cpu()
        order = torch.arange(keys.shape[2])
        kept = (order < lengths[:, None]) & (order >= lengths[:, None] - m)  # b n
        row, entry = (index.to(device) for index in kept.nonzero(as_tuple=True))
        slot = (self.written.to(device)[row] + entry) % m
        flat = (row[:, None] * h + torch.arange(h, device=device)) * m + slot[:, None]  # entries, heads
        for ring, fresh in ((self.keys, keys), (self.values, values)):
            rows = fresh.detach().to(ring.dtype).transpose(1, 2)[row, entry]  # entries, heads, d
            ring.view(b * h * m, d).index_copy_(0, flat.flatten(), rows.flatten(0, 1))
        self.positions[row, slot] = positions.to(device)[row, entry]
        self.written = self.written + lengths
