from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.ops import write_count

ALIGN = 1024  # searches see a multiple of this many slots, so that shapes seldom change while a store fills


@dataclass
class RingStore:
    """Keys and values of each row and head in a ring of `size` slots: the oldest entry is overwritten.

    Slots are allocated as they are needed; m of them are there. `written[b]` counts entries ever written to a row since
    its reset; slot = count mod m, and m = `size` before anything is overwritten. This is the only object of the library
    that is updated in place. A reset sets the count alone; unwritten slots are never returned. `positions` holds each
    entry's stream position, `version` rises with every write.
    """

    keys: Float[Tensor, "b h m d"]
    values: Float[Tensor, "b h m d"]
    positions: Int[Tensor, "b m"]
    written: Int[Tensor, " b"]
    size: int

    @classmethod
    def empty(cls, rows: int, heads: int, size: int, dim: int, like: Tensor) -> "RingStore":
        keys, values = (torch.empty(rows, heads, 0, dim, dtype=like.dtype, device=like.device) for _ in range(2))
        positions = torch.empty(rows, 0, dtype=torch.long, device=like.device)
        return cls(keys, values, positions, torch.zeros(rows, dtype=torch.long), size)

    @property
    def slots(self) -> int:
        """Slots that are allocated."""
        return self.keys.shape[2]

    @property
    def version(self) -> int:
        """Write counter of the key tensor: differs after every write (0 in inference mode, where none is kept)."""
        return write_count(self.keys)

    def used(self) -> int:
        """Slots to search: the fullest row's, rounded up to a multiple of 1024, at most the capacity."""
        fullest = min(int(self.written.max()), self.size) if len(self.written) else 0
        return min(-(-fullest // ALIGN) * ALIGN, self.slots)

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
        return RingStore(self.keys, values, positions, self.written, self.size)

    def write(
        self,
        keys: Float[Tensor, "b h n d"],
        values: Float[Tensor, "b h n d"],
        positions: Int[Tensor, "b n"],
        lengths: Int[Tensor, " b"],
    ) -> None:
        """Append the first `lengths[b]` entries of each row; of more than a capacity's worth the last ones stay."""
        lengths = lengths.cpu()
        self._grow(int((self.written + lengths).max()))
        b, h, _, d = self.keys.shape
        device, m = self.keys.device, self.slots
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

    def _grow(self, entries: int) -> None:
        """Have room for so many entries a row, or all there may be; at least doubling, so that copies are few.

        Before the last growth nothing was overwritten, so that the entries stay in the slots they are in.
        """
        if self.slots >= min(entries, self.size):
            return
        held = self.slots
        m = min(self.size, max(-(-entries // ALIGN) * ALIGN, 2 * held))
        for name in ("keys", "values"):
            old = getattr(self, name)
            fresh = old.new_empty(*old.shape[:2], m, old.shape[3])
            fresh[:, :, :held] = old
            setattr(self, name, fresh)
        self.positions = torch.nn.functional.pad(self.positions, (0, m - held), value=-1)
