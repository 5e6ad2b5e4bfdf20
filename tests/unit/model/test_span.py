import pytest
import torch

from mnemon.model import AdaptiveSpan, AttentionConfig, SpanConfig
from mnemon.pools import CacheConfig, PersistentConfig, PoolsConfig
from mnemon.positions.learned import LearnedConfig
from models import awake, read, small, text


def made(*ratios: float, limit: int = 6, ramp: int = 2, penalty: float = 0.5, offset: int = 0) -> AdaptiveSpan:
    span = SpanConfig(limit=limit, ramp=ramp, penalty=penalty, offset=offset).build(len(ratios))
    span.ratio.data = torch.tensor(ratios)
    return span


@pytest.mark.parametrize("offset", [0, 1])
def test_factor_falls_from_one_to_zero_over_the_ramp_behind_the_span(offset: int) -> None:
    found = made(0.0, 0.5, 1.0, offset=offset)(torch.arange(10) + offset)
    expected = torch.tensor(
        # distance 0    1    2    3    4    5    6    7    8    9
        [
            [1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],  # z = 0
            [1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0],  # z = 3
            [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0],  # z = 6
        ]
    )
    assert torch.equal(found, expected)


def test_penalty_is_lambda_over_the_heads_times_the_sum_of_their_spans() -> None:
    span = made(0.0, 0.5, 1.0)
    assert span.penalty().item() == pytest.approx(0.5 / 3 * (0 + 3 + 6))
    span.penalty().backward()
    assert span.ratio.grad is not None
    assert torch.equal(span.ratio.grad, torch.ones(3))


def test_project_brings_spans_back_between_nothing_and_the_limit() -> None:
    span = made(-0.2, 0.4, 1.7)
    span.project_()
    assert torch.equal(span.ratio, torch.tensor([0.0, 0.4, 1.0]))


def test_only_the_ramp_moves_the_span() -> None:
    span = made(0.5)
    factors = span(torch.tensor([1, 4, 8]))  # full, half, none
    for factor, slope in zip(factors[0], (0.0, 6 / 2, 0.0), strict=True):
        assert torch.autograd.grad(factor, span.ratio, retain_graph=True)[0].item() == slope


def test_long_distances_are_exact_in_bfloat16() -> None:
    span = made(0.5, limit=8192, ramp=32).bfloat16()
    distance = torch.tensor([4095, 4096, 4097, 4112, 4127, 4128, 4129])
    expected = torch.tensor([1.0, 1.0, 31 / 32, 0.5, 1 / 32, 0.0, 0.0])
    assert torch.equal(span(distance)[0], expected)


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 128), (0.02, 192), (0.1, 256), (0.9, 1000), (1.0, 1000)])
def test_longest_covers_span_ramp_and_room_to_grow_in_steps_of_64(ratio: float, expected: int) -> None:
    span = made(0.0, ratio, limit=1000, ramp=60)
    assert span.longest() == expected


@pytest.mark.parametrize("limit", [200, 96])
@pytest.mark.parametrize("stores", ["hidden", "kv"])
@pytest.mark.parametrize("ratio", [0.0, 0.05, 1.0])
def test_trimming_the_cache_to_the_spans_changes_nothing(
    ratio: float, stores: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(
        segment=50,
        window=200,
        position=LearnedConfig(span=200),
        attention=AttentionConfig(span=SpanConfig(limit=limit, ramp=8)),
        pools=PoolsConfig(cache=CacheConfig(stores=stores), persistent=PersistentConfig(n=2)),
    )
    model = awake(config)
    for block in model.blocks:
        block.attention.span.ratio.data.fill_(ratio)
    tokens = text(1, 230)
    trimmed = read(model, model.init_state(1), tokens)
    lengths = set()

    def untrimmed(span: AdaptiveSpan) -> int:
        lengths.add(trim(span))
        return 10**6

    trim = AdaptiveSpan.longest
    monkeypatch.setattr(AdaptiveSpan, "longest", untrimmed)
    torch.testing.assert_close(trimmed, read(model, model.init_state(1), tokens))
    assert max(lengths) <= limit
    assert (max(lengths) < 200) == (ratio < 1.0 or limit < 200), "the test is meant to trim"


def test_gradients_are_finite_where_a_head_sees_nothing() -> None:
    span = SpanConfig(limit=7, ramp=1)  # at z = 0 the factor is 0 from distance 1 on
    model = awake(small(attention=AttentionConfig(span=span), pools=PoolsConfig(cache=CacheConfig(stores="hidden"))))
    for block in model.blocks:
        block.attention.span.ratio.data.zero_()
    output, _ = model(text(2, 5), model.init_state(2))
    (output.hidden.sum() + output.penalty).backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    assert not any(bool(block.attention.q.weight.grad.any()) for block in model.blocks)
