import math

import pytest
import torch

from mnemon.pools import PersistentConfig
from mnemon.pools.persistent import PersistentPool
from streams import whole


def test_raw_vectors_are_multiplied_in_the_forward_pass() -> None:
    pool = PersistentPool(n_heads=3, head_dim=4, n=7)
    fresh = whole([0, 0], 5)
    read = pool.read(pool.init_state(2), fresh.x[:, None], fresh)
    assert read is not None
    assert torch.equal(read.k, pool.key * 2.0)
    assert torch.equal(read.v, pool.value * math.sqrt(7))
    assert (read.offset, read.valid) == (None, None)


def test_raw_vectors_start_as_feedforward_weights_would() -> None:
    torch.manual_seed(0)
    pool = PersistentConfig(n=900).build(32, 2, 16, segment=5, window=9, cached=0)
    assert pool.key.shape == pool.value.shape == (2, 900, 16)
    assert float(pool.key.detach().std()) == pytest.approx(1 / 4, rel=0.03)
    assert float(pool.value.detach().std()) == pytest.approx(1 / 30, rel=0.03)


def test_vectors_are_learned_and_no_state_is_kept() -> None:
    pool = PersistentPool(3, 4, 7)
    state = pool.init_state(2)
    fresh = whole([0, 0], 5)
    assert state.tensors("persistent") == {}
    assert pool.update(state, fresh) is state
    assert pool.reset(state, torch.tensor([True, False])) is state
    assert pool.select(state, torch.tensor([1, 1, 0])) is state
    read = pool.read(state, fresh.x[:, None], fresh)
    assert read is not None
    (read.k.sum() + read.v.sum()).backward()
    assert pool.key.grad is not None
    assert torch.equal(pool.key.grad, torch.full_like(pool.key, 2.0))
    assert pool.value.grad is not None
    assert torch.equal(pool.value.grad, torch.full_like(pool.value, math.sqrt(7)))


def test_no_vectors_are_no_pool() -> None:
    pool = PersistentPool(3, 4, 0)
    assert pool.read(pool.init_state(2), whole([0], 1).x[:, None], whole([0], 1)) is None
