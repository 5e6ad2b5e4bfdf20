from mnemon.config import Config
from mnemon.pools.base import Fresh, Merge, Pool, State
from mnemon.pools.cache import CacheConfig
from mnemon.pools.knn import KNNConfig, KNNState
from mnemon.pools.local import LocalConfig
from mnemon.pools.persistent import PersistentConfig


class PoolsConfig(Config):
    """The pools of a model, by kind; None: the model has no such pool."""

    local: LocalConfig = LocalConfig()
    cache: CacheConfig | None = None
    persistent: PersistentConfig | None = None
    knn: KNNConfig | None = None


POOLS = tuple(PoolsConfig.model_fields)

__all__ = [
    "POOLS",
    "CacheConfig",
    "Fresh",
    "KNNConfig",
    "KNNState",
    "LocalConfig",
    "Merge",
    "PersistentConfig",
    "Pool",
    "PoolsConfig",
    "State",
]
