from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from mnemon.config import Problem, nearest
from mnemon.index.base import Store, StoreKind, dealt
from mnemon.index.evict import POLICIES, Held
from mnemon.index.exact import exact_search
from mnemon.index.fetched import best_of, fetched
from mnemon.index.packed import PACKINGS
from mnemon.index.room import rooms
from mnemon.ops import Neighbours, write_count

TILE_BYTES = 1 << 24  # keys of one row that are unpacked at once
ALIGN = 256  # slots are allocated in multiples of this, up to the size


@dataclass(frozen=True)
class SlotsKind(StoreKind):
    """Entries in any slot: a full row gives up what `evict` names (`evict.POLICIES`).

    `stored` is how keys and values are kept (`packed.PACKINGS`).
    """

    evict: str = "fifo"
    stored: str = "same"

    def check(self) -> None:
        for option, value, known in (("evict", self.evict, POLICIES), ("stored", self.stored, PACKINGS)):
            if value not in known:
                raise Problem(f"index slots: {option} {value!r} is not known{nearest(value, list(known))}")

    def reach(self, dim: int) -> None:
        """Nothing: it lies here."""

    def empty(self, rows: int, heads: int, size: int, dim: int, like: Tensor) -> "SlotsStore":
        none = torch.empty(rows, heads, 0, dim, dtype=like.dtype, device=like.device)
        (keys, k_scales), (values, v_scales) = (PACKINGS[self.stored].pack(none) for _ in range(2))
        long = torch.zeros(rows, 0, dtype=torch.long, device=like.device)
        counts = {"written": torch.zeros(rows, dtype=torch.long), "now": torch.zeros(rows, dtype=torch.long)}
        kept = Slots(keys, k_scales, values, v_scales, long, long, long, long, long, long.float(), **counts)
        return SlotsStore(self, kept, size)

    def loaded(self, tensors: Mapping[str, Tensor], size: int) -> "SlotsStore":
        held = int(tensors["size"][0])
        size = held if int(tensors["written"].max()) > held else max(held, size)
        return SlotsStore(self, Slots(**{name.name: tensors[name.name].clone() for name in fields(Slots)}), size)


@dataclass
class Slots:
    """What a store has in its m slots: codes and scales of keys and values; of each entry its stream position.

    And, for policies, its number among those that the row wrote (-1 in a free slot), its document, the writes of the
    row when it was written and last found, and the attention that it had. `now` counts a row's writes.
    """

    keys: Tensor
    k_scales: Tensor
    values: Tensor
    v_scales: Tensor
    positions: Int[Tensor, "b m"]
    entry: Int[Tensor, "b m"]
    document: Int[Tensor, "b m"]
    begun: Int[Tensor, "b m"]
    found: Int[Tensor, "b m"]
    attention: Float[Tensor, "b m"]
    written: Int[Tensor, " b"]
    now: Int[Tensor, " b"]

    def grow(self, entries: int, size: int) -> None:
        """Have slots for so many entries a row, at most `size`; at least doubling, so that copies are few."""
        held = self.entry.shape[1]
        if held >= min(entries, size):
            return
        m = min(size, max(-(-entries // ALIGN) * ALIGN, 2 * held))
        grown: dict[str, Tensor] = {}
        for pair in (("keys", "values"), ("k_scales", "v_scales")):  # all, or the slots stay as they are
            like = getattr(self, pair[0])
            shape = (*like.shape[:2], m, like.shape[3])
            grown |= dict(zip(pair, rooms(like, shape, shape), strict=True))
        for name, fresh in grown.items():
            fresh[:, :, :held], fresh[:, :, held:] = getattr(self, name), 0
            setattr(self, name, fresh)
        for name in ("positions", "entry", "document", "begun", "found", "attention"):
            fill = -1 if name == "entry" else 0
            setattr(self, name, functional.pad(getattr(self, name), (0, m - held), value=fill))

    def rows(self, rows: Int[Tensor, " b2"]) -> "Slots":
        """A copy of some rows."""
        return Slots(
            **{each.name: getattr(self, each.name)[rows.to(getattr(self, each.name).device)] for each in fields(self)}
        )


class SlotsStore(Store):
    """Entries that leave in the order of a policy, kept as they are or packed; searched exactly."""

    def __init__(self, kind: SlotsKind, slots: Slots, size: int):
        self.kind, self.slots, self.size = kind, slots, size

    @property
    def written(self) -> Int[Tensor, " b"]:  # type: ignore[override]  # the slots'
        return self.slots.written

    def find(
        self,
        q: Float[Tensor, "b h t d"],
        top_k: int,
        rows: Int[Tensor, " b"],
        before: Int[Tensor, "b t"] | None = None,
    ) -> Neighbours | None:
        slots = self.slots
        if not bool((slots.entry >= 0).any()):
            return None
        k = min(top_k, self.size)
        found = [
            best_of(self._blocks(q[at], k, row, None if before is None else before[at].to(q.device)), k)
            for at, row in enumerate(rows.tolist())
        ]
        scores, ids = (torch.stack(each) for each in zip(*found, strict=True))  # b h t k
        there, rows = scores > -torch.inf, rows.to(q.device)
        if PACKINGS[self.kind.stored].direct:
            count = write_count(slots.keys)
            return Neighbours(slots.keys, slots.values, slots.positions, rows, ids, there, scores, count)
        at = rows[:, None, None, None], torch.arange(q.shape[1], device=q.device)[:, None, None], ids
        unpack = PACKINGS[self.kind.stored].unpack
        keys, values = unpack(slots.keys[at], slots.k_scales[at]), unpack(slots.values[at], slots.v_scales[at])
        return fetched(keys.to(q.dtype), values.to(q.dtype), slots.positions[at[0], ids], scores)

    def _blocks(self, q: Tensor, k: int, row: int, limit: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
        """The best entries of a row for queries [h t d], some slots after the others: (scores, slots)."""
        slots = self.slots
        h, m, d = slots.keys.shape[1:]
        step = max(ALIGN, TILE_BYTES // (h * d * 4))
        for start in range(0, m, step):
            part = slice(start, start + step)
            keys = PACKINGS[self.kind.stored].unpack(slots.keys[row, :, part], slots.k_scales[row, :, part])
            held = slots.entry[row, part] >= 0
            valid = None if limit is None and bool(held.all()) else held
            if valid is not None and limit is not None:
                valid = valid & (slots.positions[row, part] < limit[:, None])
            scores, ids = exact_search(q, keys, k, valid)
            yield scores, ids + start

    def attended(self, found: Neighbours, weights: Float[Tensor, "b h t k"]) -> None:
        slots, places = self.slots, found.places()
        for row in range(len(places)):
            valid = found.valid[row]
            at, given = places[row][valid], weights[row][valid]
            held = (slots.entry[row] >= 0).nonzero().squeeze(1)
            there, order = slots.positions[row, held].sort()
            if not len(held) or not len(at):
                continue
            index = torch.searchsorted(there, at).clamp(max=len(there) - 1)
            known = there[index] == at
            slot = held[order[index[known]]]
            slots.attention[row].index_add_(0, slot, given[known].float())
            slots.found[row, slot] = slots.now[row].to(slot.device)

    def write(
        self,
        keys: Float[Tensor, "b h n d"],
        values: Float[Tensor, "b h n d"],
        positions: Int[Tensor, "b n"],
        lengths: Int[Tensor, " b"],
        starts: Int[Tensor, " b"] | None = None,
    ) -> None:
        slots, lengths = self.slots, lengths.cpu()
        slots.grow(int((slots.written + lengths).max()), self.size)
        begun = torch.zeros_like(lengths) if starts is None else starts.cpu()
        for row, length in enumerate(lengths.tolist()):
            if not length:
                continue
            kept = min(length, self.size)
            free = self._free(row, kept)
            part, device = slice(length - kept, length), slots.entry.device
            for fresh, codes, scales in ((keys, slots.keys, slots.k_scales), (values, slots.values, slots.v_scales)):
                code, scale = PACKINGS[self.kind.stored].pack(fresh[row, :, part].detach())
                codes[row, :, free], scales[row, :, free] = code.to(codes), scale.to(scales)
            first = int(slots.written[row]) + length - kept
            slots.positions[row, free] = positions[row, part].to(device)
            slots.entry[row, free] = torch.arange(first, first + kept, device=device)
            slots.document[row, free] = begun[row].to(device)
            slots.begun[row, free] = slots.found[row, free] = slots.now[row].to(device)
            slots.attention[row, free] = 0.0
        slots.written, slots.now = slots.written + lengths, slots.now + (lengths > 0)

    def _free(self, row: int, count: int) -> Int[Tensor, " n"]:
        """So many free slots of a row, which has given up what it must."""
        slots = self.slots
        held = (slots.entry[row] >= 0).nonzero().squeeze(1)
        if (need := len(held) + count - self.size) > 0:
            now = slots.now[row].to(held.device)
            about = Held(
                slots.entry[row, held],
                slots.document[row, held],
                now - slots.begun[row, held],
                now - slots.found[row, held],
                slots.attention[row, held],
            )
            slots.entry[row, held[POLICIES[self.kind.evict](about, need)]] = -1
        return (slots.entry[row] < 0).nonzero().squeeze(1)[:count]

    def reset(self, rows: Bool[Tensor, " b"]) -> None:
        gone = rows.cpu()
        self.slots.entry[gone.to(self.slots.entry.device)] = -1
        self.slots.written = self.slots.written.masked_fill(gone, 0)

    def chosen(self, rows: Int[Tensor, " b2"]) -> "SlotsStore":
        return SlotsStore(self.kind, self.slots.rows(rows), self.size)

    def shuffled(self, seed: int) -> "SlotsStore":
        twin = self.slots.rows(torch.arange(len(self.written)))
        for row, written in enumerate(self.written.tolist()):
            held = (twin.entry[row] >= 0).nonzero().squeeze(1)
            order = held[dealt(seed, written, len(held)).to(held.device)]
            for name in ("values", "v_scales"):
                getattr(twin, name)[row, :, held] = getattr(self.slots, name)[row, :, order]
            twin.positions[row, held] = self.slots.positions[row, order]
        return SlotsStore(self.kind, twin, self.size)

    def tensors(self) -> dict[str, Tensor]:
        kept = {each.name: getattr(self.slots, each.name) for each in fields(self.slots)}
        return kept | {"size": torch.tensor([self.size])}
