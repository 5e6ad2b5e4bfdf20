import importlib
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.config import Problem
from mnemon.index.engine import by_heads
from mnemon.index.kept import Engine

LISTS, PROBES = 64, 16
LEARNT = 64  # entries a list that clusters are learnt from: as good as faiss's 256, in a quarter of the time
LINKS, BREADTH = 32, 128
TRAINING = 39  # entries a list below which faiss warns that clusters cannot be learnt


def flat_search(
    queries: Float[Tensor, "*b h t d"],
    keys: Float[Tensor, "*b h m d"],
    top_k: int,
    valid: Bool[Tensor, "..."] | None = None,
) -> tuple[Float[Tensor, "*b h t k"], Int[Tensor, "*b h t k"]]:
    """`exact_search` by faiss: every entry is compared."""
    _faiss()
    return by_heads(queries, keys, top_k, valid, lambda entries: flat(entries).ask)


def inverted_search(
    queries: Float[Tensor, "*b h t d"],
    keys: Float[Tensor, "*b h m d"],
    top_k: int,
    valid: Bool[Tensor, "..."] | None = None,
    lists: int = LISTS,
    probes: int = PROBES,
) -> tuple[Float[Tensor, "*b h t k"], Int[Tensor, "*b h t k"]]:
    """Approximate, by faiss: entries stand in `lists` clusters, of which the `probes` nearest are compared (IVF)."""
    _faiss()
    return by_heads(queries, keys, top_k, valid, lambda entries: inverted(entries, lists, probes).ask)


def graph_search(
    queries: Float[Tensor, "*b h t d"],
    keys: Float[Tensor, "*b h m d"],
    top_k: int,
    valid: Bool[Tensor, "..."] | None = None,
    links: int = LINKS,
    breadth: int = BREADTH,
) -> tuple[Float[Tensor, "*b h t k"], Int[Tensor, "*b h t k"]]:
    """Approximate, by faiss: a graph of `links` neighbours an entry, walked with `breadth` candidates (HNSW)."""
    _faiss()
    return by_heads(queries, keys, top_k, valid, lambda entries: graph(entries, links, max(breadth, top_k)).ask)


def pairwise(queries: np.ndarray, keys: np.ndarray, top_k: int) -> np.ndarray:
    """Ids of the best keys [m d] for queries [t d], by `faiss.knn`, which needs no index; on PyTorch's threads."""
    faiss = _faiss()
    faiss.omp_set_num_threads(torch.get_num_threads())
    found: np.ndarray = faiss.knn(queries, keys, top_k, metric=faiss.METRIC_INNER_PRODUCT)[1]
    return found


def _faiss() -> Any:
    try:
        return importlib.import_module("faiss")  # only when asked for: it takes a fifth of a second
    except ImportError:
        raise Problem("this index needs faiss: pip install 'mnemon[faiss]'") from None


class Faiss(Engine):
    """An index of faiss by inner product, of the kind that its factory is told."""

    def __init__(self, entries: np.ndarray, kind: str, **settings: int):
        faiss = _faiss()
        self.index: Any = faiss.index_factory(entries.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
        if kind.startswith("IVF"):
            self.index.cp.max_points_per_centroid = LEARNT
        for name, value in settings.items():
            faiss.ParameterSpace().set_index_parameter(self.index, name, value)
        self.index.train(entries)
        self.index.add(entries)

    def add(self, entries: np.ndarray) -> None:
        self.index.add(entries)

    def ask(self, q: np.ndarray, k: int) -> np.ndarray:
        found: np.ndarray = self.index.search(q, k)[1]
        return found


def flat(entries: np.ndarray) -> Engine:
    """Every entry is compared."""
    return Faiss(entries, "Flat")


def inverted(entries: np.ndarray, lists: int = LISTS, probes: int = PROBES) -> Engine:
    """Entries in clusters, of which the nearest are compared."""
    return Faiss(entries, f"IVF{max(1, min(lists, len(entries) // TRAINING))},Flat", nprobe=probes)


def graph(entries: np.ndarray, links: int = LINKS, breadth: int = BREADTH) -> Engine:
    """A graph that is walked."""
    return Faiss(entries, f"HNSW{links},Flat", efSearch=breadth)
