import pytest
import torch

from mnemon.config import Problem
from mnemon.model import AttentionConfig, SpanConfig, Transformer, widened
from mnemon.pools import CacheConfig, KNNConfig, PersistentConfig, PoolsConfig
from mnemon.positions.learned import LearnedConfig
from mnemon.positions.transformer_xl import TransformerXLConfig
from models import awake, read, small, text

CACHED = PoolsConfig(cache=CacheConfig(stores="hidden"))


def told(model: Transformer, length: int = 20) -> torch.Tensor:
    return read(model, model.init_state(2), text(2, length))


def test_a_wider_model_is_the_one_that_was_built_wide() -> None:
    config = small(pools=CACHED.replace(persistent=PersistentConfig(n=6)), position=TransformerXLConfig())
    wide = awake(config.replace(window=11, segment=3, position=TransformerXLConfig(clamp=9)))
    found = widened(awake(config), window=11, segment=3, clamp=9)
    assert found.config == wide.config
    torch.testing.assert_close(told(found), told(wide))
    assert not torch.allclose(told(found), told(awake(config)))


def test_weights_are_shared_and_the_model_stays_as_it_was() -> None:
    model = awake(small(pools=CACHED))
    before = told(model)
    wide = widened(model, window=12)
    assert model.config.window == 7
    assert torch.equal(told(model), before)
    with torch.no_grad():
        wide.embedding.table.zero_()
    assert not bool(model.embedding.table.any())
    assert not wide.training
    assert widened(model.train()).training


def test_nothing_given_changes_nothing() -> None:
    knn = KNNConfig(layers=(1,), size=30, top_k=3, merge="joint")
    model = awake(small(pools=PoolsConfig(cache=CacheConfig(length=4), knn=knn)))
    assert widened(model).config == model.config
    assert torch.equal(told(widened(model)), told(model))
    assert widened(model, window=9).config.pools.cache == CacheConfig()


@pytest.mark.parametrize("clamp", [1, 4])
def test_keys_beyond_the_clamp_count_as_that_far(clamp: int) -> None:
    scheme = TransformerXLConfig(clamp=clamp).build(12, 3, 4).double()
    q, distance = torch.randn(2, 3, 1, 4, dtype=torch.float64), torch.arange(7)
    scheme.v.data.normal_()
    found = scheme.bias(q, distance)
    plain = TransformerXLConfig().build(12, 3, 4).double()
    plain.load_state_dict(scheme.state_dict())
    expected = plain.bias(q, distance)
    torch.testing.assert_close(found[..., : clamp + 1], expected[..., : clamp + 1])
    torch.testing.assert_close(found[..., clamp:], found[..., clamp, None].expand(-1, -1, -1, 7 - clamp))


@pytest.mark.parametrize(
    ("changes", "given", "message"),
    [
        ({}, {"window": 9}, "window 9: this model has no cache"),
        ({"pools": CACHED}, {"segment": 0}, "segment 0: must be at least 1"),
        ({"pools": CACHED}, {"clamp": 3}, "clamp 3: for Transformer-XL positions alone; this model has 't5' positions"),
        (
            {
                "pools": CACHED,
                "position": LearnedConfig(span=7),
                "attention": AttentionConfig(span=SpanConfig(limit=7)),
            },
            {"window": 8},
            "window 8: the attention spans of this model end at 7",
        ),
    ],
)
def test_what_cannot_be_widened_is_a_problem(changes: dict[str, object], given: dict[str, int], message: str) -> None:
    with pytest.raises(Problem, match=message):
        widened(small(**changes).build(), **given)
