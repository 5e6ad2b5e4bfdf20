"""A joint memory of everything, searched for everything, is dense attention over the whole past."""

import pytest
import torch

from mnemon.model import ModelConfig
from mnemon.pools import CacheConfig, KNNConfig, PersistentConfig, PoolsConfig
from mnemon.positions.none import NoneConfig
from models import awake, read, small, text

LENGTH = 23
EVERYTHING = KNNConfig(layers=(0, 1), size=LENGTH, top_k=LENGTH, merge="joint")


def pair(**pools: object) -> tuple[ModelConfig, ModelConfig]:
    """The model with the memory, and one whose window is the whole past."""
    memory = small(position=NoneConfig(), pools=PoolsConfig(knn=EVERYTHING, **pools))
    dense = memory.replace(
        window=LENGTH, segment=LENGTH, pools=memory.pools.replace(knn=None, cache=CacheConfig(length=LENGTH))
    )
    return memory, dense


@pytest.mark.parametrize("cuts", [[5] * 5, [1] * LENGTH, [3, 2, 4, 1]])
@pytest.mark.parametrize(
    "pools",
    [
        {},
        {"cache": CacheConfig(stores="kv")},
        {"cache": CacheConfig(stores="hidden"), "persistent": PersistentConfig(n=6)},
        {"cache": CacheConfig(length=3)},
    ],
    ids=["no cache", "cache", "hidden cache and persistent", "cache shorter than the window"],
)
def test_a_memory_of_everything_is_dense_attention_over_the_past(pools: dict[str, object], cuts: list[int]) -> None:
    if pools.get("cache") == CacheConfig(length=3) and cuts[0] != 5:
        pytest.skip("a token sees its whole window only where the cache covers it")
    memory, dense = (awake(config) for config in pair(**pools))
    tokens = text(2, LENGTH)
    expected = read(dense, dense.init_state(2), tokens)
    steps = list(cuts)
    steps[-1] = min(steps[-1], LENGTH - sum(steps[:-1]))
    torch.testing.assert_close(read(memory, memory.init_state(2), tokens, steps), expected)


def test_a_smaller_memory_is_not_dense_attention() -> None:
    memory, dense = pair()
    fewer = memory.replace(pools=memory.pools.replace(knn=EVERYTHING.replace(size=12, top_k=12)))
    tokens = text(2, LENGTH)
    found, expected = (read(model, model.init_state(2), tokens) for model in (awake(fewer), awake(dense)))
    torch.testing.assert_close(found[:, :15], expected[:, :15])
    assert not torch.allclose(found[:, 15:], expected[:, 15:])
