from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from mnemon.config import Problem
from mnemon.hosts.config import MemoryConfig
from mnemon.hosts.kept import Kept
from mnemon.hosts.seam import Found, Source
from mnemon.index import Search, find_index
from mnemon.memory import Document, DocumentStore, Entries
from mnemon.ops import Neighbours, wide, write_count


class Enough(Exception):
    """All that a reading wants is there: what the host would compute above is of no use."""


@dataclass
class Namespaces(Source):
    """What is remembered, namespace by namespace, as seams search it: a `Source`.

    `using`: the namespaces of the next call's rows. A call of more rows gives each of them as many in a line, as
    beams and several sequences a prompt do. `rows`, where it is set, says for a reading which store each row sees, and
    that the segment is to be kept: in `fresh`, the un-rotated keys and values of each layer of `wanted`.
    """

    config: MemoryConfig
    stores: dict[str, DocumentStore] = field(default_factory=dict)
    using: tuple[str, ...] = ("",)
    rows: Sequence[DocumentStore | None] | None = None
    fresh: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    wanted: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._search: Search = find_index(self.config.index)
        self._unit, self._places = Kept(), Kept()

    def store(self, namespace: str) -> DocumentStore:
        """The store of a namespace, made where there is none."""
        return self.stores.setdefault(namespace, DocumentStore(self.config.size))

    @property
    def remembers(self) -> bool:
        """Whether there is anything to search."""
        if self.rows is not None:
            return any(store is not None and len(store) for store in self.rows)
        return any(len(self.stores[name]) for name in self.using if name in self.stores)

    @property
    def keeps(self) -> bool:
        """Whether segments are noted down."""
        return self.rows is not None

    def keep(self, layer: int, k: Float[Tensor, "b g t d"], v: Float[Tensor, "b g t d"]) -> None:
        """Note down a segment's un-rotated keys and values; `Enough` once every layer of `wanted` has handed over."""
        self.fresh[layer] = (k.detach(), v.detach())
        if self.fresh.keys() >= self.wanted:
            raise Enough

    def search(self, layer: int, q: Float[Tensor, "b g n d"]) -> list[Found]:
        """Neighbours of un-rotated queries; one search for all rows that see the same store."""
        by_store: dict[int, tuple[DocumentStore, list[int]]] = {}
        for row, store in enumerate(self.seen(len(q))):
            if store is not None and len(store):
                by_store.setdefault(id(store), (store, []))[1].append(row)
        return [self._found(layer, store, torch.tensor(rows, device=q.device), q) for store, rows in by_store.values()]

    def seen(self, rows: int) -> Sequence[DocumentStore | None]:
        """The store that each row of a call sees; None for one that has nothing."""
        if self.rows is not None:
            return self.rows
        if rows % len(self.using):
            raise Problem(f"{rows} rows cannot be shared out among {len(self.using)} namespaces: give one for each row")
        each = rows // len(self.using)
        return [self.stores.get(name) for name in self.using for _ in range(each)]

    def _found(self, layer: int, store: DocumentStore, rows: Int[Tensor, " r"], q: Tensor) -> Found:
        entries = store.entries(layer)
        assert entries is not None
        place = slice(entries.first, entries.last)
        keys = self._unit_keys(entries) if self.config.normalise else entries.keys
        folded = rearrange(q if len(rows) == len(q) else q[rows], "r g n d -> 1 g (r n) d")
        scores, ids = self._search(folded, keys[:, :, place], self.config.top_k)
        ids = ids + entries.first
        read = Neighbours(
            entries.keys,
            entries.values,
            self._places.of(entries.keys, entries.first, lambda keys: _numbered(keys) - entries.first),
            torch.zeros(1, dtype=torch.long, device=q.device),
            ids,
            scores > -torch.inf,
            scores,
            write_count(entries.keys),
        )
        return Found(rows, read, entries.last - ids, torch.tensor([len(store)]))

    def _unit_keys(self, entries: Entries) -> Tensor:
        """Keys of length one, which are kept until the store changes."""
        return self._unit.of(entries.keys, entries.version, _unit)


def _numbered(keys: Tensor) -> Tensor:
    return torch.arange(keys.shape[2], device=keys.device)[None]


def _unit(keys: Tensor) -> Tensor:
    return functional.normalize(wide(keys), dim=-1).to(keys.dtype)


def all_documents(stores: Mapping[str, DocumentStore]) -> list[Document]:
    """Every document of every namespace, oldest first within each."""
    return [document for store in stores.values() for document in store.documents()]
