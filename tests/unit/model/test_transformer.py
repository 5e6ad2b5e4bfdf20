import math
from typing import get_args

import pytest
import torch

from mnemon.config import Problem
from mnemon.model import AttentionConfig, FeedForwardConfig, HeadConfig, ModelConfig, SpanConfig
from mnemon.pools import CacheConfig, KNNConfig, PersistentConfig, PoolsConfig
from mnemon.pools.persistent import Form
from mnemon.positions.learned import LearnedConfig
from models import awake, read, small, text


def test_the_seed_decides_the_start_and_nothing_else_is_drawn() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, same, other = (small().build(seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    pairs = list(zip(first.parameters(), same.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.embedding.table, other.embedding.table)


def test_a_vocabulary_must_be_set() -> None:
    with pytest.raises(Problem, match="vocab_size must be set"):
        ModelConfig().build()


@pytest.mark.parametrize("layers", [(8,), (0, 2), (-1,)])
def test_a_memory_in_a_layer_that_does_not_exist_is_a_problem(layers: tuple[int, ...]) -> None:
    with pytest.raises(Problem, match="the model has layers 0 to 1"):
        small(pools=PoolsConfig(knn=KNNConfig(layers=layers))).build()


def test_only_the_chosen_layers_have_a_memory() -> None:
    model = small(n_layers=4, pools=PoolsConfig(knn=KNNConfig(layers=(1, 3)))).build()
    assert ["knn" in block.attention.pools for block in model.blocks] == [False, True, False, True]


@pytest.mark.parametrize(("start", "extent"), [("uniform", 1.0), ("lecun", 2 / 0.87962566)])
def test_projections_start_with_the_chosen_distribution(start: str, extent: float) -> None:
    weight = small(dim=400, start=start).build().blocks[0].attention.q.weight.detach() * 20  # in 1 / sqrt(fan-in)
    assert weight.std().item() == pytest.approx(1 / math.sqrt(3) if start == "uniform" else 1.0, rel=0.05)
    assert weight.abs().max().item() == pytest.approx(extent, rel=0.05)
    assert weight.abs().max().item() <= extent


def test_output_projections_may_start_at_zero() -> None:
    model = small(zero_out=True).build()
    for block in model.blocks:
        assert not bool(block.attention.out.weight.any())
        assert not bool(block.feedforward.down.weight.any())
        assert bool(block.attention.q.weight.all())
    hidden = model(text(2, 5), model.init_state(2))[0].hidden
    assert torch.equal(hidden, model.norm(model.embedding(text(2, 5))))


def test_memory_layers_may_start_with_equal_queries_and_keys() -> None:
    pools = PoolsConfig(knn=KNNConfig(layers=(1,)))
    model = small(pools=pools, attention=AttentionConfig(equal_start=True)).build()
    plain, remembering = (block.attention for block in model.blocks)
    assert torch.equal(remembering.q.weight, remembering.k.weight)
    assert not torch.equal(plain.q.weight, plain.k.weight)


def test_layers_may_share_one_table_of_positions() -> None:
    shared = small(position=LearnedConfig(span=8), shared_position=True).build()
    single = small(position=LearnedConfig(span=8)).build()
    assert [name for name, _ in shared.named_parameters() if "position" in name] == ["position.table"]
    assert len([name for name, _ in single.named_parameters() if "position" in name]) == 2
    hidden = shared(text(2, 5), shared.init_state(2))[0].hidden
    hidden.sum().backward()
    assert shared.position.table.grad is not None


@pytest.mark.parametrize(("place", "last"), [("pre", "RMSNorm"), ("post", "Identity")])
def test_a_last_norm_stands_where_blocks_do_not_end_with_one(place: str, last: str) -> None:
    assert type(small(norm_place=place).build().norm).__name__ == last


def test_the_penalty_is_the_sum_over_layers() -> None:
    model = awake(small(attention=AttentionConfig(span=SpanConfig(limit=7, penalty=0.5))))
    expected = sum(0.5 * 7 * block.attention.span.ratio.mean() for block in model.blocks)
    output, _ = model(text(2, 5), model.init_state(2))
    torch.testing.assert_close(output.penalty, expected)
    plain = small().build()
    assert plain(text(2, 5), plain.init_state(2))[0].penalty.item() == 0.0


def test_project_clamps_the_spans_of_every_layer() -> None:
    model = small(attention=AttentionConfig(span=SpanConfig(limit=7))).build()
    for block in model.blocks:
        block.attention.span.ratio.data.fill_(1.5)
    model.project_()
    assert all(torch.equal(block.attention.span.ratio, torch.ones(3)) for block in model.blocks)
    small().build().project_()


def test_final_dropout_acts_on_embedding_and_output_in_training_alone() -> None:
    model = awake(small(final_dropout=0.5, n_layers=0))
    state, tokens = model.init_state(2), text(2, 5)
    assert bool((model.train()(tokens, state)[0].hidden == 0).any())
    torch.testing.assert_close(model.eval()(tokens, state)[0].hidden, model.norm(model.embedding(tokens)))


def test_no_parameter_is_a_single_number() -> None:
    pools = PoolsConfig(cache=CacheConfig(), persistent=PersistentConfig(n=3), knn=KNNConfig(layers=(1,)))
    config = small(pools=pools, attention=AttentionConfig(span=SpanConfig()), head=HeadConfig(tied=False, bias=True))
    assert all(parameter.ndim for parameter in config.build().parameters())


def test_one_token_at_a_time_is_a_segment_too() -> None:
    model = awake(small(segment=1, pools=PoolsConfig(cache=CacheConfig(), knn=KNNConfig(layers=(1,), size=4, top_k=2))))
    assert read(model, model.init_state(2), text(2, 6)).shape == (2, 6, 12)


def test_heads_need_not_fill_the_model_s_width() -> None:
    model = awake(small(dim=10, n_heads=3, head_dim=5, feedforward=FeedForwardConfig(dim=7)))
    assert model(text(2, 5), model.init_state(2))[0].hidden.shape == (2, 5, 10)


def test_gates_are_told_by_layer() -> None:
    model = awake(small(n_layers=3, pools=PoolsConfig(knn=KNNConfig(layers=(0, 2)))))
    gates = model.gates()
    assert list(gates) == [0, 2]
    torch.testing.assert_close(gates[2], model.blocks[2].attention.gate.detach().sigmoid())
    assert small().build().gates() == {}


@pytest.mark.parametrize("form", get_args(Form))
def test_without_vectors_every_form_is_attention_alone(form: str) -> None:
    plain = small(feedforward=None).build()
    formed = small(feedforward=None, pools=PoolsConfig(persistent=PersistentConfig(n=0, form=form))).build()
    formed.load_state_dict(plain.state_dict())
    tokens = text(2, 5)
    outputs = [model(tokens, model.init_state(2))[0].hidden for model in (plain, formed)]
    assert torch.equal(*outputs)


def test_a_second_feedforward_layer_is_a_problem() -> None:
    with pytest.raises(Problem, match="the model has one already"):
        small(pools=PoolsConfig(persistent=PersistentConfig(form="ff-attn"))).build()
