from collections.abc import Callable
from functools import partial

from mnemon.index.base import Store, StoreKind
from mnemon.index.bucketed import bucketed_search
from mnemon.index.exact import exact_search
from mnemon.index.faiss import flat, flat_search, graph, graph_search, inverted, inverted_search
from mnemon.index.host import HostKind, HostStore
from mnemon.index.kept import Engine, KeptKind
from mnemon.index.mapped import MappedStore
from mnemon.index.mapped_folder import StoreShape
from mnemon.index.mapped_kind import MappedKind
from mnemon.index.milvus import MilvusStore
from mnemon.index.milvus_kind import MilvusKind
from mnemon.index.named import Search, chosen, named
from mnemon.index.scann import scann_search
from mnemon.index.slots import SlotsKind, SlotsStore
from mnemon.index.store import RingKind, RingStore

INDEXES: dict[str, Search] = {
    "exact": exact_search,
    "bucketed": bucketed_search,
    "faiss-flat": flat_search,
    "faiss-ivf": inverted_search,
    "faiss-hnsw": graph_search,
    "scann": scann_search,
}


# Stores that are more than a ring and a search in it, by the name that `KNNConfig.index` gives them.
STORES: dict[str, StoreKind] = {"host": HostKind(), "mmap": MappedKind(), "milvus": MilvusKind(), "slots": SlotsKind()}


# How an index of INDEXES is begun that is kept with the entries; the others search a ring as it stands.
ENGINES: dict[str, Callable[..., Engine]] = {"faiss-flat": flat, "faiss-ivf": inverted, "faiss-hnsw": graph}


def find_store(said: str) -> StoreKind:
    """What makes the stores that `NAME` or `NAME:option=value` describes: one of STORES, or a ring to search in."""
    name = said.partition(":")[0]
    if name in STORES:
        return chosen(STORES, said)
    search = named(INDEXES, said, STORES)
    ring = RingKind(search)
    return KeptKind(partial(ENGINES[name], **search.keywords), ring) if name in ENGINES else ring


def find_index(said: str) -> Search:
    """A search like `exact_search` by its name: `exact`, or with options `bucketed:buckets=64`."""
    return named(INDEXES, said)


__all__ = [
    "ENGINES",
    "INDEXES",
    "STORES",
    "Engine",
    "HostKind",
    "HostStore",
    "KeptKind",
    "MappedKind",
    "MappedStore",
    "MilvusKind",
    "MilvusStore",
    "RingKind",
    "RingStore",
    "Search",
    "SlotsKind",
    "SlotsStore",
    "Store",
    "StoreKind",
    "StoreShape",
    "bucketed_search",
    "exact_search",
    "find_index",
    "find_store",
    "flat_search",
    "graph_search",
    "inverted_search",
    "scann_search",
]
