import pytest
import torch

from mnemon.model import Attention, AttentionConfig
from mnemon.model.attention import unit
from mnemon.pools import CacheConfig, KNNConfig, PersistentConfig, PoolsConfig
from mnemon.pools.local import LocalPool
from mnemon.positions.none import NoPosition
from models import awake, read, small, text

POOLS = PoolsConfig(cache=CacheConfig(), persistent=PersistentConfig(n=6), knn=KNNConfig(layers=(1,), size=9, top_k=3))


def test_unit_vectors_have_length_one_and_zero_stays_zero() -> None:
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(unit(x), x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt())
    assert not bool(unit(torch.zeros(3)).any())
    assert unit(x.bfloat16()).dtype == torch.bfloat16


def test_the_learned_scale_has_one_number_a_head() -> None:
    model = small(attention=AttentionConfig(scale=7.0)).build()
    assert torch.equal(model.blocks[0].attention.scale, torch.full((3,), 7.0))


def test_without_query_key_norm_the_scale_is_fixed() -> None:
    attention = small(attention=AttentionConfig(qk_norm=False, scale=None)).build().blocks[0].attention
    assert attention.scale == 0.5  # 1 / sqrt(head_dim)
    assert "scale" not in dict(attention.named_parameters())


def test_a_negative_scale_acts_as_a_positive_one() -> None:
    model = awake(small(pools=POOLS))
    tokens = text(2, 17)
    expected = read(model, model.init_state(2), tokens)
    for block in model.blocks:
        block.attention.scale.data.neg_()
    torch.testing.assert_close(read(model, model.init_state(2), tokens), expected)


def test_the_gate_starts_where_it_is_told_to() -> None:
    attention = small(pools=POOLS, attention=AttentionConfig(gate=-2.0)).build().blocks[1].attention
    assert torch.equal(attention.gate, torch.full((3,), -2.0))
    assert small(pools=POOLS).build().blocks[0].attention.gate is None


def test_a_joint_memory_has_no_gate() -> None:
    joint = POOLS.replace(knn=KNNConfig(layers=(1,), merge="joint"))
    assert all(block.attention.gate is None for block in small(pools=joint).build().blocks)


def test_inspection_does_not_change_the_output() -> None:
    for pools in (POOLS, PoolsConfig()):
        model = awake(small(pools=pools))
        state = model.init_state(2)
        read(model, state, text(2, 10))
        tokens = text(2, 5, seed=1)
        plain, traced = (model(tokens, state, inspect=inspect)[0] for inspect in (False, True))
        torch.testing.assert_close(plain.hidden, traced.hidden)
        assert (len(plain.traces), len(traced.traces)) == (0, 2)


def test_attention_dropout_acts_in_training_alone() -> None:
    model = awake(small(pools=POOLS, attention=AttentionConfig(dropout=0.5)))
    state, tokens = model.init_state(2), text(2, 5)
    assert not torch.equal(*(model.train()(tokens, state)[0].hidden for _ in range(2)))
    assert torch.equal(*(model.eval()(tokens, state)[0].hidden for _ in range(2)))


def test_a_layer_stands_alone_in_a_loop_of_one_s_own() -> None:
    pools = {
        "cache": CacheConfig().build(12, 3, 4, 5, 7, 7),
        "local": LocalPool(12, segment=5, cached=True),
        "knn": KNNConfig(size=30, top_k=30).build(12, 3, 4, 5, 7, 7),
    }
    layer = Attention(12, 3, 4, pools, 7, 5, NoPosition(), AttentionConfig()).double()
    state = layer.init_state(rows=2)
    series = torch.randn(2, 20, 12, dtype=torch.float64)
    for piece in series.split(5, dim=1):
        y, update, _ = layer(piece, state.layer())
        state.commit([update])
    assert y.shape == (2, 5, 12)
    assert state.position.tolist() == [20, 20]
    changed = series.clone()
    changed[:, 3] += 1.0  # beyond the window, within the memory
    again = layer.init_state(rows=2)
    for piece in changed.split(5, dim=1):
        other, update, _ = layer(piece, again.layer())
        again.commit([update])
    assert not torch.allclose(other, y)


def test_a_layer_that_shares_positions_must_be_given_them() -> None:
    layer = Attention(12, 3, 4, {"local": LocalPool(12, 5, False)}, 7, 5, None, AttentionConfig())
    x = torch.randn(2, 5, 12)
    with pytest.raises(AssertionError, match="shares its positions"):
        layer(x, layer.init_state(2).layer())
    assert layer(x, layer.init_state(2).layer(), position=NoPosition())[0].shape == (2, 5, 12)


def test_one_gate_mixes_in_one_pool() -> None:
    memory = KNNConfig().build(12, 3, 4, 5, 7, 7)
    pools = {"local": LocalPool(12, 5, False), "first": memory, "second": memory}
    with pytest.raises(ValueError, match="got first and second"):
        Attention(12, 3, 4, pools, 7, 5, NoPosition(), AttentionConfig())
