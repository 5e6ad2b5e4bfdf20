import torch

from mnemon.positions import POSITIONS


def test_no_positions_leave_queries_keys_and_scores_alone() -> None:
    scheme = POSITIONS["none"]().build(dim=6, n_heads=3, head_dim=4)
    x = torch.randn(2, 3, 5, 4)
    assert scheme.query(x) is x
    assert scheme.rotate(x, torch.arange(5)) is x
    assert scheme.bias(x, torch.zeros(7, dtype=torch.long)) is None
    assert list(scheme.parameters()) == []
