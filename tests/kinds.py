"""The models that the laws hold for: every recipe and every mixture of pools and positions, at a small odd size."""

from dataclasses import replace
from typing import get_args

from mnemon.index import INDEXES, STORES, StoreKind, find_store
from mnemon.index.kept import KeptKind
from mnemon.model import AttentionConfig, ModelConfig
from mnemon.pools import CacheConfig, KNNConfig, PersistentConfig, PoolsConfig
from mnemon.pools.persistent import Form
from mnemon.positions import POSITIONS
from mnemon.positions.learned import LearnedConfig
from mnemon.positions.t5 import T5Config
from mnemon.recipes import RECIPES
from models import SEGMENT, VOCABULARY, WINDOW, small
from stores import LITE

KV, HIDDEN, PERSISTENT = CacheConfig(stores="kv"), CacheConfig(stores="hidden"), PersistentConfig(n=6)
GATED = KNNConfig(layers=(1,), size=8, top_k=3)  # the ring wraps in the middle of a segment
JOINT = KNNConfig(layers=(0, 1), size=8, top_k=3, merge="joint")

MIXTURES: dict[str, PoolsConfig] = {
    "local": PoolsConfig(),
    "cache": PoolsConfig(cache=KV),
    "hidden cache": PoolsConfig(cache=HIDDEN),
    "hidden cache, persistent": PoolsConfig(cache=HIDDEN, persistent=PERSISTENT),
    "knn": PoolsConfig(knn=GATED),
    "cache, knn": PoolsConfig(cache=KV, knn=GATED),
    "cache, joint knn": PoolsConfig(cache=KV, knn=JOINT),
    "cache, persistent, knn": PoolsConfig(cache=KV, persistent=PERSISTENT, knn=GATED),
    "hidden cache, persistent, joint knn": PoolsConfig(cache=HIDDEN, persistent=PERSISTENT, knn=JOINT),
    "cache, next values": PoolsConfig(cache=KV, knn=GATED.replace(value="next", index="bucketed:buckets=16")),
}
# On so few entries every one of them finds the very best; engines are held to few of the laws, for they are slow.
ENGINES: dict[str, PoolsConfig] = {
    f"cache, {index} knn": PoolsConfig(cache=KV, knn=(JOINT if index == "faiss-flat" else GATED).replace(index=index))
    for index in ("faiss-flat", "faiss-ivf", "faiss-hnsw", "scann", *STORES)
}


def _at(position: str) -> dict[str, object]:
    """The changes that give a small model this position scheme."""
    fitting: dict[str, object] = {"learned": LearnedConfig(span=WINDOW), "t5": T5Config(buckets=4, furthest=6)}
    return {"position": fitting.get(position, POSITIONS[position]())}


def shrunk(model: ModelConfig) -> ModelConfig:
    """A recipe's model at the small size: every choice of kind is kept, every number made small."""
    span, window = model.attention.span, WINDOW
    position = model.position
    if isinstance(position, LearnedConfig):
        position = position.replace(span=WINDOW)
    if isinstance(position, T5Config):
        position = position.replace(buckets=4, furthest=6)
    knn = model.pools.knn
    return model.replace(
        vocab_size=VOCABULARY,
        dim=12,
        n_layers=2,
        n_heads=3,
        head_dim=4,
        segment=SEGMENT,
        window=window,
        position=position,
        dropout=0.0,
        final_dropout=0.0,
        attention=model.attention.replace(dropout=0.0, span=span and span.replace(limit=window, ramp=2)),
        pools=model.pools.replace(
            persistent=model.pools.persistent and PERSISTENT, knn=knn and knn.replace(layers=(1,), size=8, top_k=3)
        ),
        feedforward=model.feedforward and model.feedforward.replace(dim=10, dropout=0.0),
        embedding=model.embedding.replace(cutoffs=(4, 9), divide=2),
    )


def _recipes() -> dict[str, ModelConfig]:
    """One small model for each recipe that differs from those before it in more than size."""
    found: dict[str, ModelConfig] = {}
    for name, make in RECIPES.items():
        model = shrunk(make().model)
        if model not in found.values():
            found[name] = model
    return found


RECIPE_MODELS = _recipes()
MIXED_MODELS = {f"{pools}; t5": small(pools=mixture, **_at("t5")) for pools, mixture in MIXTURES.items()} | {
    "cache, persistent, knn over all; t5": small(
        pools=MIXTURES["cache, persistent, knn"], attention=AttentionConfig(gate_over="all"), **_at("t5")
    ),
}
PLACED_MODELS = {
    f"{pools}; {position}": small(pools=MIXTURES[pools], **_at(position))
    for position in POSITIONS
    if position != "t5"
    for pools in MIXTURES
}
FORMED_MODELS = {  # half of the heads: so an even number of them
    f"{form}; t5": small(
        n_heads=4,
        head_dim=3,
        feedforward=None,
        pools=MIXTURES["cache, persistent, knn"].replace(persistent=PersistentConfig(n=6, form=form)),
        **_at("t5"),
    )
    for form in get_args(Form)
    if form != "all-attn"
}
FEW_PLACED = {name: model for name, model in PLACED_MODELS.items() if name.startswith("cache, persistent, knn;")}
SEARCHED_MODELS = {pools: small(pools=mixture, **_at("t5")) for pools, mixture in ENGINES.items()}
MODELS: dict[str, ModelConfig] = RECIPE_MODELS | MIXED_MODELS | FORMED_MODELS | FEW_PLACED
ALL_MODELS: dict[str, ModelConfig] = RECIPE_MODELS | MIXED_MODELS | FORMED_MODELS | PLACED_MODELS
# Empty is not neutral here, so these are held to the laws that say nothing of it.
FAITHFUL_MODELS = {
    "faithful: cache, knn; t5": small(
        pools=PoolsConfig(cache=KV, knn=GATED.replace(size=10)), faithful=True, **_at("t5")
    ),
    "faithful: hidden cache, persistent; learned": small(
        pools=MIXTURES["hidden cache, persistent"], faithful=True, **_at("learned")
    ),
}
REMEMBERING = {name: model for name, model in MODELS.items() if model.pools.knn}
CACHED = {name: model for name, model in MODELS.items() if model.pools.cache}

STORED = {"bfloat16": 0.01, "int8": 0.01}
# Stores by name: what makes them, and how far a stored number may be from the one that was given.
STORE_KINDS: dict[str, tuple[StoreKind, float]] = {name: (find_store(name), 0.0) for name in INDEXES} | {
    f"{name}, its index kept from the first entry": (replace(kind, start=1), 0.0)
    for name in INDEXES
    if isinstance(kind := find_store(name), KeptKind)
}
STORE_KINDS |= {name: (find_store(f"milvus:uri={LITE}" if name == "milvus" else name), 0.0) for name in STORES}
STORE_KINDS |= {
    f"slots:stored={stored}": (find_store(f"slots:stored={stored}"), close) for stored, close in STORED.items()
}
