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


WHOLE, SINGLE, RAGGED = [5, 5, 5, 5, 3], [1] * LENGTH, [3, 2, 4, 1]
MIXTURES: dict[str, dict[str, object]] = {
    "no cache": {},
    "cache": {"cache": CacheConfig(stores="kv")},
    "hidden cache and persistent": {"cache": CacheConfig(stores="hidden"), "persistent": PersistentConfig(n=6)},
}
CASES = [(pools, cuts) for pools in MIXTURES.values() for cuts in (WHOLE, SINGLE, RAGGED)]
# Where the cache is shorter than the window, a token sees all of it only within one call.
CASES.append(({"cache": CacheConfig(length=3)}, WHOLE))


@pytest.mark.parametrize(("pools", "cuts"), CASES)
def test_a_memory_of_everything_is_dense_attention_over_the_past(pools: dict[str, object], cuts: list[int]) -> None:
    memory, dense = (awake(config) for config in pair(**pools))
    tokens = text(2, LENGTH)
    expected = read(dense, dense.init_state(2), tokens)
    torch.testing.assert_close(read(memory, memory.init_state(2), tokens, cuts), expected)


def test_a_smaller_memory_is_not_dense_attention() -> None:
    memory, dense = pair()
    fewer = memory.replace(pools=memory.pools.replace(knn=EVERYTHING.replace(size=12, top_k=12)))
    tokens = text(2, LENGTH)
    found, expected = (read(model, model.init_state(2), tokens) for model in (awake(fewer), awake(dense)))
    torch.testing.assert_close(found[:, :15], expected[:, :15])
    assert not torch.allclose(found[:, 15:], expected[:, 15:])
