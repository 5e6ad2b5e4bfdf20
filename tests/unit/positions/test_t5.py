import pytest
import torch

from mnemon.positions.t5 import T5Bias, T5Config, bucket


def test_buckets_are_exact_then_logarithmic_then_one() -> None:
    distance = torch.tensor([[-3, 0, 1, 2, 3, 4, 5, 7, 8, 9, 1000]])
    expected = torch.tensor([[0, 0, 1, 2, 2, 3, 3, 3, 3, 3, 3]])
    assert torch.equal(bucket(distance, buckets=4, furthest=8), expected)


def test_bias_is_the_head_s_entry_for_the_bucket() -> None:
    scheme = T5Bias(n_heads=2, buckets=4, furthest=8)
    scheme.table.data = torch.tensor([[0.0, 1.0, 2.0, 3.0], [0.0, 10.0, 20.0, 30.0]])
    found = scheme.bias(torch.randn(5, 2, 3, 4), torch.tensor([5, 4, 3, 2, 1, 0]))  # the same for all queries
    expected = torch.tensor([3.0, 3.0, 2.0, 2.0, 1.0, 0.0])
    assert torch.equal(found, torch.stack([expected, 10 * expected])[None, :, None])


def test_every_entry_in_use_gets_a_gradient() -> None:
    scheme = T5Bias(n_heads=2, buckets=4, furthest=8)
    scheme.bias(torch.randn(1, 2, 1, 4), torch.tensor([1, 4, 5])).sum().backward()
    assert scheme.table.grad is not None
    assert torch.equal(scheme.table.grad, torch.tensor([[0.0, 1.0, 0.0, 2.0]]).expand(2, 4))


def test_table_starts_normal_with_the_root_of_the_buckets() -> None:
    torch.manual_seed(0)
    table = T5Config(buckets=16).build(dim=6, n_heads=400, head_dim=4).table
    assert table.shape == (400, 16)
    assert float(table.detach().std()) == pytest.approx(0.25, rel=0.05)
    assert float(table.detach().mean()) == pytest.approx(0.0, abs=0.02)


def test_a_slope_starts_every_head_falling_with_distance_the_first_fastest() -> None:
    table = T5Config(buckets=8, furthest=32, slope=0.5).build(dim=6, n_heads=4, head_dim=4).table.detach()
    torch.testing.assert_close(
        table[:, :4], -0.5 * torch.tensor([1.0, 0.25, 0.0625, 0.015625])[:, None] * torch.arange(4)
    )
    assert bool((table.diff(dim=1) < 0).all())
