from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mnemon.config import Problem
from mnemon.hosts.memory import Memory
from mnemon.hosts.namespaces import Enough
from mnemon.hosts.seam import Found, Source
from mnemon.hosts.segments import Segment, segments
from mnemon.ops import Shared

Entries = tuple[Tensor, Tensor]  # un-rotated keys and values of one layer, [g m d] each


@dataclass
class Together(Source):
    """A memory that is read and asked in one training step, with gradients to both: a `Source` beside `Namespaces`.

    `read` runs the host over several sets of documents, each set a memory of its own, as `Memory.read` would, and keeps
    what its layers hand over in the graph. Within `asking(rows)` row r of a call sees set `rows[r]`, all of it: the
    softmax goes over every entry, for a neighbour that is not found gets no gradient.
    """

    memory: Memory
    sets: list[dict[int, Entries]] = field(default_factory=list)
    rows: Int[Tensor, " b"] | None = None
    _fresh: dict[int, Entries] | None = None

    def __post_init__(self) -> None:
        if self.memory.config.positions == "original" or self.memory.config.sees != "local":
            raise Problem(
                "training on documents and questions together needs sees='local', and positions not 'original'"
            )

    @property
    def remembers(self) -> bool:
        return self.rows is not None and self._fresh is None

    @property
    def keeps(self) -> bool:
        return self._fresh is not None

    def keep(self, layer: int, k: Float[Tensor, "b g t d"], v: Float[Tensor, "b g t d"]) -> None:
        assert self._fresh is not None
        self._fresh[layer] = (k, v)
        if self._fresh.keys() >= set(self.memory.layers):
            raise Enough

    def search(self, layer: int, q: Float[Tensor, "b g n d"]) -> list[Found]:
        assert self.rows is not None
        found = []
        for at in self.rows.unique().tolist():
            k, v = self.sets[at][layer]
            age = torch.arange(k.shape[1], 0, -1, device=k.device)
            rows = (self.rows == at).nonzero().flatten()
            found.append(Found(rows, Shared(k[None], v[None]), age[None, None, None], torch.tensor([k.shape[1]])))
        return found

    @contextmanager
    def asking(self, rows: Int[Tensor, " b"]) -> Iterator[None]:
        """Within it the host sees what was read, row r the set `rows[r]`; rows of one set stand together."""
        with self._instead():
            self.rows = rows
            try:
                yield
            finally:
                self.rows = None

    def read(self, sets: Sequence[Sequence[Int[Tensor, " _"]]]) -> None:
        """Read the tokens of several sets of documents, in place of what was read before; gradients go through it."""
        config, first = self.memory.config, self.memory.prefix
        cut = [[list(segments(ids, config.segment, config.overlap, first)) for ids in each] for each in sets]
        flat = [piece for documents in cut for pieces in documents for piece in pieces]
        longest = max(len(piece.ids) for piece in flat)
        ids = torch.stack([torch.nn.functional.pad(piece.ids, (0, longest - len(piece.ids))) for piece in flat])
        fresh = self._feed(ids.to(self.memory.model.device))
        found: list[dict[int, Entries]] = [{} for _ in sets]
        for layer, (k, v) in fresh.items():
            start = 0
            for at, documents in enumerate(cut):
                parts = []
                for pieces in documents:
                    parts.append(self._document(pieces, k[start : start + len(pieces)], v[start : start + len(pieces)]))
                    start += len(pieces)
                found[at][layer] = (torch.cat([k for k, _ in parts], 1), torch.cat([v for _, v in parts], 1))
        self.sets = found

    def _feed(self, ids: Int[Tensor, "b t"]) -> dict[int, Entries]:
        self._fresh = {}
        try:
            with self._instead(), suppress(Enough):  # what is padded at the end is seen by nothing before it
                self.memory.model.base_model(input_ids=ids, use_cache=False)
            return self._fresh
        finally:
            self._fresh = None

    def _document(self, pieces: Sequence[Segment], k: Float[Tensor, "s g t d"], v: Float[Tensor, "s g t d"]) -> Entries:
        keys, values = (
            torch.cat([x[at, :, piece.fresh : len(piece.ids)] for at, piece in enumerate(pieces)], dim=1)
            for x in (k, v)
        )
        if self.memory.config.value == "next":
            keys = torch.cat([keys[:, :1], keys[:, :-1]], dim=1)
        return keys, values

    @contextmanager
    def _instead(self) -> Iterator[None]:
        """Seams ask this source while it lasts."""
        before = [seam.source for seam in self.memory.seams]
        for seam in self.memory.seams:
            seam.source = self
        try:
            yield
        finally:
            for seam, source in zip(self.memory.seams, before, strict=True):
                seam.source = source
