from mnemon.index.exact import exact_search
from mnemon.index.store import RingStore

INDEXES = {"exact": exact_search}

__all__ = ["INDEXES", "RingStore", "exact_search"]
