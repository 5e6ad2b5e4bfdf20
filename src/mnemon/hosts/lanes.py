"""A memory that fills while a host is trained or evaluated on documents, each row from its own."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from mnemon.config import Problem
from mnemon.hosts.memory import Memory
from mnemon.hosts.seam import Found, Source
from mnemon.hosts.support import family
from mnemon.index import RingKind, RingStore, Search, find_index
from mnemon.ops import Neighbours, wide, write_count

Fresh = Mapping[int, tuple[Tensor, Tensor]]  # layer -> keys and values [b g t d] of a segment


@dataclass
class _Layer:
    """One layer: what every row remembers, the newest key of each, and what the running forward has shown."""

    store: RingStore | None = None
    last: Float[Tensor, "b g d"] | None = None
    fresh: tuple[Tensor, Tensor] | None = None
    asked: Tensor | None = None
    found: Found | None = None


class LaneMemory(Source):
    """What `rows` lanes remember of the documents that they read segment by segment, in place of a memory's own.

    In a step, `begin` says which rows start a document, the host runs forward and, where it learns, backward, and
    `commit` writes what the segment's tokens were in each layer. Nothing is written in between: a forward that is run
    again for its gradients finds what the first found. Rows never see each other, oldest entries go first, `value` and
    `positions` are those of the memory's config.

    A segment may begin with tokens that are context only: `special` ones, and `repeated` ones, which are remembered
    already. Merged jointly, the memory holds back what is repeated, so that nothing counts twice.

    `negatives`: in training, each row also finds entries of so many other rows, which can only mislead it: it learns to
    tell what is its own (Focused Transformer, arXiv 2307.03170, section 3.3). `size`:
    entries a row, instead of the config's.
    Deviation: no gradient reaches what is remembered.
    """

    def __init__(self, memory: Memory, rows: int, negatives: int = 0, size: int | None = None):
        if not 0 <= negatives < rows:
            raise Problem(f"negatives {negatives}: there are {rows - 1} other rows")
        if memory.config.positions == "original" and family(memory.model).places is not None:
            raise Problem(
                'positions="original": lanes cannot move the absolute positions of this host on; choose others to train'
            )
        self.memory, self.config, self.rows = memory, memory.config, rows
        self.negatives = negatives
        self.size = self.config.size if size is None else size
        self._search: Search = find_index(self.config.index)
        self._layers = {layer: _Layer() for layer in memory.layers}
        self._seen = torch.zeros(rows, dtype=torch.long)  # tokens of its document that each row has read
        self._skip, self._repeated = torch.zeros_like(self._seen), torch.zeros_like(self._seen)
        self._written = torch.zeros_like(self._seen)

    @contextmanager
    def live(self) -> Iterator["LaneMemory"]:
        """Within it, the host reads this memory instead of what its `Memory` has read; so must its backward."""
        self.enter()
        try:
            yield self
        finally:
            self.leave()

    def enter(self) -> None:
        """From now on the host reads this memory."""
        for seam in self.memory.seams:
            seam.source = self

    def leave(self) -> None:
        """The host reads what its `Memory` has read, as before."""
        for seam in self.memory.seams:
            seam.source = self.memory.source

    def reset(self, rows: Bool[Tensor, " b"]) -> None:
        """Forget everything in `rows`."""
        for layer in self._layers.values():
            if layer.store is not None:
                layer.store.reset(rows)
        rows = rows.cpu()
        self._seen, self._written = (count.masked_fill(rows, 0) for count in (self._seen, self._written))

    def begin(
        self, starts: Bool[Tensor, " b"] | None = None, special: int = 0, repeated: Int[Tensor, " b"] | None = None
    ) -> None:
        """A segment comes: rows that start a document forget. Its first tokens are special, or read already."""
        if starts is not None:
            self.reset(starts)
        self._forget_forward()
        self._repeated = torch.zeros_like(self._seen) if repeated is None else repeated.cpu()
        self._skip = self._repeated + special

    @property
    def fresh(self) -> Fresh:
        """What the running forward has shown of each layer, without what is context only."""
        held = {at: layer.fresh for at, layer in self._layers.items() if layer.fresh is not None}
        return {at: (_taken(k, self._skip), _taken(v, self._skip)) for at, (k, v) in held.items()}

    def commit(self, lengths: Int[Tensor, " b"], fresh: Fresh | None = None, write: bool = True) -> None:
        """Remember the segment's first `lengths` tokens of each row, after those that are context only.

        `fresh`: what a forward has shown, where it was not the last. With `write` off they are counted, nothing more.
        """
        lengths, shown = lengths.cpu(), self.fresh if fresh is None else fresh
        if write and self.size:
            for at, layer in self._layers.items():
                if at not in shown:
                    raise Problem(f"layer {at} has shown nothing to remember: run the host between begin and commit")
                self._write(layer, shown[at], lengths)
            self._written = self._written + lengths
        self._seen = self._seen + lengths
        self._forget_forward()

    def _write(self, layer: _Layer, fresh: tuple[Tensor, Tensor], lengths: Tensor) -> None:
        keys, values = fresh
        if layer.store is None:
            layer.store = RingStore.empty(self.rows, keys.shape[1], self.size, keys.shape[3], like=keys)
        if self.config.value == "next":
            keys, layer.last = _shifted(keys, layer.last, self._seen > 0, lengths)
        layer.store.write(keys, values, self._seen[:, None] + torch.arange(keys.shape[2]), lengths)

    def _forget_forward(self) -> None:
        for layer in self._layers.values():
            layer.fresh = layer.asked = layer.found = None

    def shuffled(self, seed: int) -> "LaneMemory":
        """The same to read from, a control: values are dealt out anew among the keys of each row."""
        mixed = copy.copy(self)
        mixed._layers = {
            at: _Layer(None if layer.store is None else layer.store.shuffled(seed), layer.last)
            for at, layer in self._layers.items()
        }
        return mixed

    @property
    def remembers(self) -> bool:
        """Whether any row has something."""
        return bool((self._written > 0).any())

    @property
    def keeps(self) -> bool:
        """Every segment is noted down until it is committed or another begins."""
        return self.size > 0

    def keep(self, layer: int, k: Float[Tensor, "b g t d"], v: Float[Tensor, "b g t d"]) -> None:
        """Note down a segment's un-rotated keys and values."""
        self._layers[layer].fresh = (k.detach(), v.detach())

    def search(self, layer: int, q: Float[Tensor, "b g n d"]) -> Sequence[Found]:
        """Neighbours of un-rotated queries; the same answer, without a search, when the same is asked once more."""
        if len(q) != self.rows:
            raise Problem(f"{len(q)} rows are read, but {self.rows} lanes are remembered")
        at, q = self._layers[layer], q.detach()  # a second run that searches less must save as much for its gradient
        if at.found is None or at.asked is None or not torch.equal(at.asked, q):
            at.asked, at.found = q, self._found(at, q)
        return [] if at.found is None else [at.found]

    def _found(self, layer: _Layer, q: Tensor) -> Found | None:
        store = layer.store
        assert store is not None
        slots, seen = store.used(), self._seen.to(q.device)
        keys, values, positions = store.keys, store.values, store.positions
        shown = seen - self._repeated.to(q.device) if self.config.merge == "joint" else seen
        valid = store.valid(slots) & (positions[:, :slots] < shown[:, None])
        others = range(self.negatives + 1)
        if self.negatives:
            # An entry of another row is as old for this row as it is for its own.
            ages = _of_others(seen[:, None] - positions[:, :slots], others, dim=1)
            keys, values = (_of_others(x[:, :, :slots], others, dim=2) for x in (keys, values))
            positions, valid = seen[:, None] - ages, _of_others(valid, others, dim=1)
        rows = valid.any(-1).nonzero().flatten()
        if not len(rows):
            return None
        searched = keys[rows, :, : valid.shape[1]]
        if self.config.normalise:
            searched = functional.normalize(wide(searched), dim=-1).to(keys.dtype)
        scores, ids = self._search(q[rows], searched, self.config.top_k, valid[rows][:, None, None])
        version = write_count(keys)
        read = Neighbours(keys, values, positions, rows, ids, scores > -torch.inf, scores, version)
        age = seen[rows][:, None, None, None] - positions[rows[:, None, None, None], ids]
        return Found(rows, read, age, (self._seen - self._skip)[rows.cpu()])

    def tensors(self) -> dict[str, Tensor]:
        """What is remembered, by name, for a checkpoint; between `commit` and `begin`."""
        found = {"position": self._seen, "written": self._written}
        for at, layer in self._layers.items():
            if layer.store is not None:
                found |= {f"{at}.store.{name}": tensor for name, tensor in layer.store.tensors().items()}
            if layer.last is not None:
                found[f"{at}.last"] = layer.last
        return found

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        tensors = tensors if "position" in tensors else _renamed(tensors)
        self._seen, self._written = tensors["position"].clone(), tensors["written"].clone()
        for at in self._layers:
            self._layers[at] = fresh = _Layer()
            start = f"{at}.store."
            stored = {name.removeprefix(start): each for name, each in tensors.items() if name.startswith(start)}
            if stored:
                fresh.store = RingKind().loaded(stored, self.size)
                fresh.last = tensors.get(f"{at}.last")


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What was saved when stores had no name of their own, by today's names."""
    parts = {name: name.partition(".") for name in tensors}
    kept = {at for at, (_, _, said) in parts.items() if not said or said == "last"}
    named = {at: at if at in kept else f"{layer}.store.{said}" for at, (layer, _, said) in parts.items()}
    return {"position" if name == "seen" else named[name]: tensor for name, tensor in tensors.items()}


def _taken(x: Float[Tensor, "b g t d"], first: Int[Tensor, " b"]) -> Float[Tensor, "b g n d"]:
    """Each row from a place of its own on; behind the end its last entry."""
    place = (first[:, None] + torch.arange(x.shape[2] - int(first.min()))).clamp(max=x.shape[2] - 1)
    return x.gather(2, place.to(x.device)[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))


def _shifted(keys: Tensor, last: Tensor | None, begun: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Keys of the token before each, and the newest key of each row; a document's first token has none before it."""
    first = keys[:, :, :1]
    before = first if last is None else torch.where(begun.to(keys.device)[:, None, None, None], last, first)
    moved = torch.cat([before, keys], dim=2)
    return moved[:, :, :-1], _taken(moved, lengths)[:, :, :1]


def _of_others(x: Tensor, others: Sequence[int], dim: int) -> Tensor:
    """For each row what the rows so many further have, one after the other."""
    return torch.cat([x.roll(-other, 0) for other in others], dim)
