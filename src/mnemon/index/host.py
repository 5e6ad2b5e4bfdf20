"""A memory that lies with the host while the model computes on a GPU: larger than the GPU's own."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.index.base import Store, StoreKind
from mnemon.index.exact import exact_search
from mnemon.index.fetched import best_of, brought
from mnemon.index.store import RingKind, RingStore
from mnemon.ops import Neighbours
from mnemon.ops.accelerated import accelerated


@dataclass(frozen=True)
class HostKind(StoreKind):
    """Rings in the host's memory, of which `block` keys a row and head are on the GPU at a time."""

    block: int = 1 << 15

    def check(self) -> None:
        """Nothing is missing."""

    def reach(self, dim: int) -> None:
        """Nothing: it lies here."""

    def empty(self, rows: int, heads: int, size: int, dim: int, like: Tensor) -> "HostStore":
        return HostStore(RingStore.empty(rows, heads, size, dim, like.new_empty(0, device="cpu")), self.block)

    def loaded(self, tensors: Mapping[str, Tensor], size: int) -> "HostStore":
        here = {name: tensor.cpu() for name, tensor in tensors.items()}
        return HostStore(_pinned(RingKind().loaded(here, size)), self.block)


@dataclass
class HostStore(Store):
    """A ring in pinned host memory, searched exactly by the device that asks.

    Keys go there block by block, the next on its way while one is searched; what was found is merged. Entries that were
    found stay where they are: on a GPU the kernel of `partial_neighbours` reads them over the bus, k keys and values a
    query, without a copy of them being made. On a CPU it is a ring that is searched in blocks.
    """

    ring: RingStore
    block: int

    @property
    def size(self) -> int:  # type: ignore[override]  # the ring's
        return self.ring.size

    @property
    def written(self) -> Int[Tensor, " b"]:  # type: ignore[override]  # the ring's
        return self.ring.written

    def attended(self, found: Neighbours, weights: Float[Tensor, "b h t k"]) -> None:
        """Nothing: the oldest entry goes, whatever was attended to."""

    def write(
        self,
        keys: Float[Tensor, "b h n d"],
        values: Float[Tensor, "b h n d"],
        positions: Int[Tensor, "b n"],
        lengths: Int[Tensor, " b"],
        starts: Int[Tensor, " b"] | None = None,
    ) -> None:
        self.ring.write(keys.cpu(), values.cpu(), positions.cpu(), lengths, starts)
        self.ring = _pinned(self.ring)

    def reset(self, rows: Bool[Tensor, " b"]) -> None:
        self.ring.reset(rows)

    def find(
        self,
        q: Float[Tensor, "b h t d"],
        top_k: int,
        rows: Int[Tensor, " b"],
        before: Int[Tensor, "b t"] | None = None,
    ) -> Neighbours | None:
        ring, slots = self.ring, self.ring.used()
        if not slots:
            return None
        positions = ring.positions.to(q.device, non_blocking=True)
        there = rows.to(q.device)
        valid = ring.valid(slots).to(q.device)[there][:, None, None, :]  # b 1 1 m
        if before is not None:
            valid = valid & (positions[there, None, :slots] < before.to(q.device)[:, :, None])[:, None]  # b 1 t m
        keys = ring.keys[:, :, :slots]
        parts = _brought(keys, rows, self.block, q.device) if q.is_cuda else _blocks(keys, rows, self.block)
        scores, ids = best_of(_searched(q, parts, top_k, valid), min(top_k, slots))
        found = scores > -math.inf
        if q.is_cuda and not accelerated(q):  # no kernel that could read them where they are
            ids, found, scores = (x.cpu() for x in (ids, found, scores))
            here = Neighbours(ring.keys, ring.values, ring.positions, rows, ids, found, scores, ring.version)
            return brought(here, q.device)
        return Neighbours(ring.keys, ring.values, positions, there, ids, found, scores, ring.version)

    def chosen(self, rows: Int[Tensor, " b2"]) -> "HostStore":
        return replace(self, ring=_pinned(self.ring.chosen(rows)))

    def shuffled(self, seed: int) -> "HostStore":
        return replace(self, ring=_pinned(self.ring.shuffled(seed)))

    def tensors(self) -> dict[str, Tensor]:
        return self.ring.tensors()


def _searched(q: Tensor, parts: Iterator[tuple[int, Tensor]], k: int, valid: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The best entries of each block."""
    for start, part in parts:
        scores, ids = exact_search(q, part, k, valid[..., start : start + part.shape[2]])
        yield scores, ids + start


def _blocks(keys: Tensor, rows: Tensor, block: int) -> Iterator[tuple[int, Tensor]]:
    """(first slot, keys of so many slots), where they lie."""
    for start in range(0, keys.shape[2], block):
        yield start, keys[rows, :, start : start + block]


def _brought(keys: Tensor, rows: Tensor, block: int, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """The same on a GPU: into two places in turn, by a stream of its own, one ahead of what is searched.

    A row's and head's keys of a block lie side by side, so that each goes in one transfer without a copy before it.
    """
    here = torch.cuda.current_stream(device)
    aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # no types in torch
    b, (_, h, m, d) = len(rows), keys.shape
    places = [torch.empty(b, h, min(block, m), d, dtype=keys.dtype, device=device) for _ in range(2)]
    coming: tuple[int, Tensor] | None = None
    for turn, start in enumerate([*range(0, m, block), None]):
        ahead = None
        if start is not None:
            aside.wait_stream(here)  # whoever searched this place before is done by then
            with torch.cuda.stream(aside):
                part = places[turn % 2][:, :, : min(block, m - start)]
                for at, row in enumerate(rows.tolist()):
                    for head in range(h):
                        part[at, head].copy_(keys[row, head, start : start + block], non_blocking=True)
                ahead = start, part
        if coming is not None:
            yield coming
        here.wait_stream(aside)
        coming = ahead


def _pinned(ring: RingStore) -> RingStore:
    """The ring in memory that a GPU can read, where there is one; slots that were added since are not."""
    if torch.cuda.is_available():
        ring.keys, ring.values = (x if x.is_pinned() else x.pin_memory() for x in (ring.keys, ring.values))
    return ring
