import torch

from mnemon.positions.base import by_distance


def test_scores_per_distance_are_laid_out_per_key() -> None:
    scores = torch.tensor([[10.0, 11.0, 12.0], [20.0, 21.0, 22.0]]).expand(2, 1, 2, 3)
    distance = torch.tensor([[2, 1, 0, -1], [3, 2, 1, 0]])  # two queries, of which the second is one later
    expected = torch.tensor([[12.0, 11.0, 10.0, 10.0], [22.0, 22.0, 21.0, 20.0]])
    assert torch.equal(by_distance(scores, distance), expected.expand(2, 1, 2, 4))
