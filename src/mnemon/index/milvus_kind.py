import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mnemon.config import Problem, nearest
from mnemon.index.base import StoreKind
from mnemon.index.mapped_folder import StoreShape
from mnemon.index.milvus import MilvusStore, Place
from mnemon.index.milvus_connection import INDEXES, Connection, check_collection_name, pymilvus
from mnemon.index.milvus_lease import swept
from mnemon.index.milvus_tenant import Tenant


@dataclass(frozen=True)
class MilvusKind(StoreKind):
    """Stores in a Milvus: `uri` is a local file (milvus-lite), a server or a cluster.

    `collection` is where entries lie, one for each size of head; `index` is flat (exact), hnsw or ivf, chosen when the
    collection is made; `fingerprint` is written to it, and a collection that says another is refused. Stores that a
    kNN memory makes are removed with it; `MilvusStore.create` makes one that stays.
    """

    uri: str = "mnemon-memory.db"
    collection: str = "mnemon"
    index: str = "flat"
    fingerprint: str = ""

    @property
    def local(self) -> bool:
        """Whether it is a file."""
        return "://" not in self.uri

    def check(self) -> None:
        if self.index not in INDEXES:
            raise Problem(f"index milvus: {self.index!r} is no index of it{nearest(self.index, list(INDEXES))}")
        check_collection_name(self.collection)
        pymilvus()

    def reach(self, dim: int) -> None:
        place = self.place()
        place.connection.look(f"{place.collection}_{dim}", dim, place.index, place.fingerprint)

    def empty(self, rows: int, heads: int, size: int, dim: int, like: Tensor) -> "MilvusStore":
        shape = StoreShape(rows, heads, size, dim, str(like.dtype).removeprefix("torch."))
        place = self.place()
        made = MilvusStore.scratch(place, shape)
        if gone := swept(made.tenant):
            said = f"milvus {self.uri}: removed {len(gone)} memories from {made.tenant.collection}"
            warnings.warn(f"{said} that killed processes left there", stacklevel=2)
        return made

    def swept(self, dim: int) -> list[str]:
        """Remove from the collection for heads of that size what killed processes left there; the names."""
        place = self.place()
        collection = f"{place.collection}_{dim}"
        if not place.connection.look(collection, dim, place.index, place.fingerprint):
            return []
        return swept(Tenant(place.connection, collection, "", dim, 1, place.index))

    def loaded(self, tensors: Mapping[str, Tensor], size: int) -> "MilvusStore":
        written, held = tensors["written"].cpu(), int(tensors["size"][0])
        size = held if int(written.max()) > held else max(held, size)
        b, h, _, d = tensors["keys"].shape
        made, old = self.empty(b, h, size, d, like=tensors["keys"]), StoreShape(b, h, held, d, "")
        for row, count in enumerate(written.tolist()):
            entries = torch.arange(max(0, count - held), count)
            entries = entries[tensors["positions"][row].cpu()[entries % old.slots] >= 0]  # the others were forgotten
            slots = entries % old.slots
            keys, values = (tensors[name][row].cpu()[:, slots] for name in ("keys", "values"))
            made.take(row, entries, keys, values, tensors["positions"][row].cpu()[slots])
        made.commit(written)
        return made

    def place(self) -> Place:
        """Where stores of this kind lie."""
        return Place(Connection(self.uri), self.collection, self.index, self.fingerprint)
