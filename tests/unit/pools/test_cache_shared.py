"""A cache that takes over what attention put together for its context, instead of putting it together again."""

import pytest
import torch

from mnemon.model import ModelConfig
from mnemon.pools import CacheConfig, PoolsConfig
from mnemon.pools.cache import KeyValueCacheState
from models import SEGMENT, VOCABULARY, WINDOW, small

CACHED: dict[str, ModelConfig] = {
    f"length {length}": small(pools=PoolsConfig(cache=CacheConfig(stores="kv", length=length)))
    for length in (None, WINDOW - 3, WINDOW + 4)
}


@pytest.mark.parametrize("config", CACHED.values(), ids=CACHED)
def test_what_is_taken_over_is_what_would_be_appended(config: ModelConfig) -> None:
    model = config.build(seed=1).eval()
    ours, theirs = model.init_state(2), model.init_state(2)
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for t in (1, 3, 1, SEGMENT, 2, 3, 4, 1):
            tokens = torch.randint(VOCABULARY, (2, t), generator=draw)
            _, update = model(tokens, ours)
            assert all(fresh.recent is not None for fresh in update)
            ours.commit(update)
            _, update = model(tokens, theirs)
            for fresh in update:
                object.__setattr__(fresh, "recent", None)
            theirs.commit(update)
            for name, tensor in theirs.tensors().items():
                assert torch.equal(ours.tensors()[name], tensor), name


def test_a_token_copies_no_cache() -> None:
    model = CACHED["length None"].build().eval()
    state = model.init_state(1)
    with torch.no_grad():
        for _ in range(2 * WINDOW):
            _, update = model(torch.zeros(1, 1, dtype=torch.long), state)
            state.commit(update)
            for layer, fresh in zip(state.states, update, strict=True):
                cached = layer["cache"]
                assert isinstance(cached, KeyValueCacheState)
                assert fresh.recent is not None
                assert cached.k.untyped_storage().data_ptr() == fresh.recent[0].untyped_storage().data_ptr()
                assert cached.v.untyped_storage().data_ptr() == fresh.recent[1].untyped_storage().data_ptr()
