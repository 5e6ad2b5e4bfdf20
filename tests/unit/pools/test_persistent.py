import math

import pytest
import torch

from mnemon.config import Problem
from mnemon.pools import KNNConfig, PersistentConfig, PoolsConfig
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


@pytest.mark.parametrize(
    ("form", "shape", "merge", "heads"),
    [
        ("all-attn", (2, 9, 16), "joint", 0),
        ("attn-split", (2, 9, 16), "added", 0),
        ("single-head", (1, 9, 32), "added", 0),
        ("head-split", (2, 2 * 9 + 64, 16), "beside", 2),  # two of four heads, with twice the vectors and more
    ],
)
def test_each_form_has_its_vectors_and_its_way_to_merge(form: str, shape: object, merge: str, heads: int) -> None:
    pool = PersistentConfig(n=9, form=form).build(64, 2, 16, segment=5, window=9, cached=0)
    assert pool.key.shape == pool.value.shape == shape
    assert (pool.merge, pool.heads) == (merge, heads)


def test_heads_are_split_where_there_is_anything_to_split_them_for() -> None:
    for n, heads in ((9, 3), (0, 6)):
        assert PoolsConfig(persistent=PersistentConfig(n=n, form="head-split")).heads(6) == heads
    assert PoolsConfig(persistent=PersistentConfig(n=9)).heads(6) == PoolsConfig().heads(6) == 6
    with pytest.raises(Problem, match="5 heads are odd"):
        PoolsConfig(persistent=PersistentConfig(n=9, form="head-split")).heads(5)


def test_a_layer_of_its_own_is_no_pool() -> None:
    pools = PoolsConfig(persistent=PersistentConfig(form="ff-attn"), knn=KNNConfig(layers=(1,)))
    assert [list(pools.attended(layer)) for layer in (0, 1)] == [["local"], ["local", "knn"]]


def test_a_negative_number_of_vectors_is_refused() -> None:
    with pytest.raises(Problem, match=r"persistent\.n: .*greater than or equal to 0"):
        PoolsConfig.parse({"persistent": {"n": -1}}, "pools")
