from mnemon.index.bucketed import bucketed_search
from mnemon.index.exact import exact_search
from mnemon.index.faiss import flat_search, graph_search, inverted_search
from mnemon.index.named import Search, named
from mnemon.index.scann import scann_search
from mnemon.index.store import RingStore

INDEXES: dict[str, Search] = {
    "exact": exact_search,
    "bucketed": bucketed_search,
    "faiss-flat": flat_search,
    "faiss-ivf": inverted_search,
    "faiss-hnsw": graph_search,
    "scann": scann_search,
}


def find_index(said: str) -> Search:
    """A search like `exact_search` by its name: `exact`, or with options `bucketed:buckets=64`."""
    return named(INDEXES, said)


__all__ = [
    "INDEXES",
    "RingStore",
    "Search",
    "bucketed_search",
    "exact_search",
    "find_index",
    "flat_search",
    "graph_search",
    "inverted_search",
    "scann_search",
]
