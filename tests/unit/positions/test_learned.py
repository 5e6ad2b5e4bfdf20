import pytest
import torch

from mnemon.positions.learned import LearnedConfig, LearnedRelative


@pytest.mark.parametrize("first", [0, 1])
def test_bias_is_the_query_times_the_vector_of_the_distance(first: int) -> None:
    scheme = LearnedRelative(head_dim=4, span=6, first=first).double()
    q = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    distance = torch.arange(first, first + 6)
    found = scheme.bias(q, distance)
    assert found.shape == (2, 3, 5, 6)
    for t in range(5):
        for x in range(6):
            torch.testing.assert_close(found[:, :, t, x], q[:, :, t] @ scheme.table[:, x])


def test_distances_outside_the_table_share_its_ends() -> None:
    scheme = LearnedRelative(head_dim=4, span=3)
    q = torch.randn(2, 3, 1, 4)
    found = scheme.bias(q, torch.tensor([9, 4, 3, 2, 1, 0]))
    columns = q @ scheme.table
    assert torch.equal(found, columns[..., [2, 2, 2, 1, 0, 0]])


def test_a_segment_of_one_token_without_past_has_a_bias() -> None:
    assert LearnedRelative(head_dim=4, span=3).bias(torch.randn(2, 3, 1, 4), torch.tensor([0])).shape == (2, 3, 1, 1)


def test_table_starts_standard_normal_with_a_column_a_distance() -> None:
    torch.manual_seed(0)
    scheme = LearnedConfig(span=500).build(dim=6, n_heads=3, head_dim=8)
    assert scheme.table.shape == (8, 500)
    assert float(scheme.table.detach().std()) == pytest.approx(1.0, rel=0.05)
