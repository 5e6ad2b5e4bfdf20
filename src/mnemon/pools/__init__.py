from mnemon.config import Config, Problem
from mnemon.pools.base import Fresh, Merge, Pool, State
from mnemon.pools.cache import CacheConfig
from mnemon.pools.knn import KNNConfig, KNNState
from mnemon.pools.local import LocalConfig
from mnemon.pools.persistent import PersistentConfig

PoolConfig = LocalConfig | CacheConfig | PersistentConfig | KNNConfig


class PoolsConfig(Config):
    """The pools of a model, by kind; None: the model has no such pool."""

    local: LocalConfig = LocalConfig()
    cache: CacheConfig | None = None
    persistent: PersistentConfig | None = None
    knn: KNNConfig | None = None

    def attended(self, layer: int) -> dict[str, PoolConfig]:
        """The pools that attention of this layer reads, by kind."""
        vectors = self.persistent if self.persistent and self.persistent.attended else None
        pools = self.replace(persistent=vectors)
        return {name: pool for name, pool in pools if pool is not None and layer in getattr(pool, "layers", (layer,))}

    def heads(self, n_heads: int) -> int:
        """Heads of each pool: all, or half of them where the persistent vectors have heads of their own."""
        if self.persistent is None or not self.persistent.splits_heads:
            return n_heads
        if n_heads % 2:
            raise Problem(f"head-split gives half of the heads to the persistent vectors: {n_heads} heads are odd")
        return n_heads // 2


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
