"""What a step costs, as docs/cost.md tells it: operations and bytes as functions of the sizes that a user chooses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mnemon.model import ModelConfig
from mnemon.pools import PersistentConfig
from mnemon.recipes import count_parameters, recipe

BASE = "memorizing-all-attention-tiny"
POSITION = 8  # bytes of the place of an entry in its stream


@dataclass(frozen=True)
class Size:
    """What is chosen: tokens that each token sees; persistent vectors and remembered entries, a head; neighbours a
    query; layers, of which one remembers; rows; and the tokens of a step."""

    window: int = 128
    persistent: int = 512
    memory: int = 8192
    top_k: int = 32
    layers: int = 2
    rows: int = 1
    tokens: int = 1

    def model(self, vocabulary: int = 1024) -> ModelConfig:
        """The model of `BASE` at these sizes; its second layer has the memory."""
        base = recipe(BASE).model
        knn = base.pools.knn
        assert knn is not None
        pools = base.pools.replace(
            persistent=PersistentConfig(n=self.persistent),
            knn=knn.replace(layers=(1,), size=max(self.memory, self.top_k), top_k=self.top_k),
        )
        return base.replace(vocab_size=vocabulary, window=self.window, n_layers=self.layers, pools=pools)


def operations(size: Size) -> dict[str, int]:
    """Floating point operations of the products of a step without gradients, by what they are for.

    A multiplication and its addition are two. The weighted sum over retrieved values is left out: it gathers and adds
    in one operation that is no product.
    """
    config = size.model()
    wide, tokens = config.n_heads * config.head_dim, size.rows * size.tokens
    return {
        "projections": size.layers * tokens * 4 * 2 * config.dim * wide,
        "context": size.layers * tokens * 2 * 2 * wide * (size.window + size.tokens),
        "persistent vectors": size.layers * tokens * 2 * 2 * wide * size.persistent,
        "search": tokens * 2 * wide * size.memory,
        "retrieved keys": tokens * 2 * wide * size.top_k * (size.memory > 0),
        "head": size.rows * 2 * config.dim * config.vocab_size,
    }


def remembered_bytes(size: Size, element: int = 4) -> dict[str, int]:
    """Bytes that the rows hold right after a segment's first step, behind a full window and with a full memory.

    Numbers that are counted a row, a few of 8 bytes, are left out.
    """
    config = size.model()
    wide = config.n_heads * config.head_dim
    entry = 2 * wide * element
    begun = size.tokens % config.segment * (size.memory > 0)
    return {
        # One copy of the window and of the step behind it, of which the window is looked at.
        "cache": size.layers * size.rows * (size.window + size.tokens) * entry,
        "memory": size.rows * size.memory * (entry + POSITION),
        "begun segment": size.rows * (begun * entry + wide * element),  # and the newest token's key
    }


def read_bytes(size: Size, element: int = 4) -> dict[str, int]:
    """Bytes that a step has to read at least once, by what they are for."""
    config = size.model()
    wide, tokens = config.n_heads * config.head_dim, size.rows * size.tokens
    vectors = 2 * wide * size.persistent * size.layers
    total = count_parameters(config).total
    return {
        "weights": (total - vectors) * element,
        "persistent vectors": vectors * element,
        "context": size.layers * size.rows * 2 * wide * (size.window + size.tokens) * element,
        "search": size.rows * wide * size.memory * element,
        "retrieved entries": tokens * 2 * wide * size.top_k * element * (size.memory > 0),
    }


# What time is fitted to: each coefficient is the seconds that one of these takes.
TERMS: Mapping[str, Callable[[Size], float]] = {
    "a step": lambda size: 1,
    "a layer": lambda size: size.layers,
    "a row and layer": lambda size: size.rows * size.layers,
    "MB of context": lambda size: read_bytes(size)["context"] / 1e6,
    "MB of persistent vectors": lambda size: read_bytes(size)["persistent vectors"] / 1e6,
    "scores with persistent vectors, millions": lambda size: (
        size.rows * size.tokens * size.layers * size.persistent / 1e6
    ),
    "MB of keys searched": lambda size: read_bytes(size)["search"] / 1e6,
    "thousand neighbours": lambda size: size.rows * size.tokens * size.top_k * (size.memory > 0) / 1e3,
}
