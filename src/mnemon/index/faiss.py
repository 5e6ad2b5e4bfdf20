import importlib
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.config import Problem
from mnemon.index.engine import Ask, by_heads

TRAINING = 39  # entries a list below which faiss warns that clusters cannot be learnt


def flat_search(
    queries: Float[Tensor, "*b h t d"],
    keys: Float[Tensor, "*b h m d"],
    top_k: int,
    valid: Bool[Tensor, "..."] | None = None,
) -> tuple[Float[Tensor, "*b h t k"], Int[Tensor, "*b h t k"]]:
    """`exact_search` by faiss: every entry is compared."""
    faiss = _faiss()
    return by_heads(queries, keys, top_k, valid, lambda entries: _ask(faiss, entries, "Flat"))


def inverted_search(
    queries: Float[Tensor, "*b h t d"],
    keys: Float[Tensor, "*b h m d"],
    top_k: int,
    valid: Bool[Tensor, "..."] | None = None,
    lists: int = 64,
    probes: int = 16,
) -> tuple[Float[Tensor, "*b h t k"], Int[Tensor, "*b h t k"]]:
    """Approximate, by faiss: entries stand in `lists` clusters, of which the `probes` nearest are compared (IVF)."""
    faiss = _faiss()

    def build(entries: np.ndarray) -> Ask:
        return _ask(faiss, entries, f"IVF{max(1, min(lists, len(entries) // TRAINING))},Flat", nprobe=probes)

    return by_heads(queries, keys, top_k, valid, build)


def graph_search(
    queries: Float[Tensor, "*b h t d"],
    keys: Float[Tensor, "*b h m d"],
    top_k: int,
    valid: Bool[Tensor, "..."] | None = None,
    links: int = 32,
    breadth: int = 128,
) -> tuple[Float[Tensor, "*b h t k"], Int[Tensor, "*b h t k"]]:
    """Approximate, by faiss: a graph of `links` neighbours an entry, walked with `breadth` candidates (HNSW)."""
    faiss = _faiss()

    def build(entries: np.ndarray) -> Ask:
        return _ask(faiss, entries, f"HNSW{links},Flat", efSearch=max(breadth, top_k))

    return by_heads(queries, keys, top_k, valid, build)


def _faiss() -> Any:
    try:
        return importlib.import_module("faiss")  # only when asked for: it takes a fifth of a second
    except ImportError:
        raise Problem("this index needs faiss: pip install 'mnemon[faiss]'") from None


def _ask(faiss: Any, entries: np.ndarray, kind: str, **settings: int) -> Ask:
    index = faiss.index_factory(entries.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
    for name, value in settings.items():
        faiss.ParameterSpace().set_index_parameter(index, name, value)
    index.train(entries)
    index.add(entries)

    def ask(q: np.ndarray, k: int) -> np.ndarray:
        found: np.ndarray = index.search(q, k)[1]
        return found

    return ask
