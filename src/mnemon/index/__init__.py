from mnemon.index.base import Store, StoreKind
from mnemon.index.bucketed import bucketed_search
from mnemon.index.exact import exact_search
from mnemon.index.faiss import flat_search, graph_search, inverted_search
from mnemon.index.named import Search, named
from mnemon.index.scann import scann_search
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
STORES: dict[str, StoreKind] = {}


def find_store(said: str) -> StoreKind:
    """What makes the stores that `NAME` or `NAME:option=number` describes: one of STORES, or a ring to search in."""
    return STORES[said] if said in STORES else RingKind(named(INDEXES, said))


def find_index(said: str) -> Search:
    """A search like `exact_search` by its name: `exact`, or with options `bucketed:buckets=64`."""
    return named(INDEXES, said)


__all__ = [
    "INDEXES",
    "STORES",
    "RingKind",
    "RingStore",
    "Search",
    "Store",
    "StoreKind",
    "bucketed_search",
    "exact_search",
    "find_index",
    "find_store",
    "flat_search",
    "graph_search",
    "inverted_search",
    "scann_search",
]
