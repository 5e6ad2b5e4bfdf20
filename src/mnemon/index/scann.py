import importlib
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.config import Problem
from mnemon.index.engine import Ask, by_heads

FEW = 1024  # entries up to which comparing all is as fast, and a tree would have next to nothing to learn from


def scann_search(
    queries: Float[Tensor, "*b h t d"],
    keys: Float[Tensor, "*b h m d"],
    top_k: int,
    valid: Bool[Tensor, "..."] | None = None,
    leaves: int = 100,
    probes: int = 30,
    reorder: int = 250,
) -> tuple[Float[Tensor, "*b h t k"], Int[Tensor, "*b h t k"]]:
    """Approximate, by ScaNN (arXiv 1908.10396): `probes` of `leaves` are scored by quantised keys.

    The best `reorder` of these are scored again by the keys themselves. Up to 1024 entries are all compared.
    """
    scann = _scann()

    def build(entries: np.ndarray) -> Ask:
        builder = scann.builder(entries, top_k, "dot_product")
        if len(entries) <= FEW:
            engine = builder.score_brute_force().build()
        else:
            tree = builder.tree(leaves, min(probes, leaves), training_sample_size=len(entries))
            engine = tree.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(max(reorder, top_k)).build()

        def ask(q: np.ndarray, k: int) -> np.ndarray:
            found: np.ndarray = engine.search_batched(q, final_num_neighbors=k)[0].astype(np.int64)
            return np.where(found < len(entries), found, -1)

        return ask

    return by_heads(queries, keys, top_k, valid, build)


def _scann() -> Any:
    try:
        return importlib.import_module("scann").scann_ops_pybind
    except ImportError:
        raise Problem("this index needs ScaNN, which there is for Linux: pip install 'mnemon[scann]'") from None
