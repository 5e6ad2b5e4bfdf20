import torch

from mnemon.ops import Band

NONE = torch.device("cpu")


def test_a_query_sees_the_keys_of_its_distances_that_the_row_holds() -> None:
    strict = [[0, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0]]  # three keys before a segment of three
    own = [[0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1]]
    assert torch.equal(Band(1, 2).spread(3, 6, NONE)[1], torch.tensor(strict).bool()[None, None])
    assert torch.equal(Band(0, 2).spread(3, 6, NONE)[1], torch.tensor(own).bool()[None, None])
    valid = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]).bool()
    partial = [[0, 0, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0]]
    assert torch.equal(Band(1, 2, valid=valid).spread(3, 6, NONE)[1], torch.tensor([partial, strict]).bool()[:, None])


def test_what_belongs_to_a_distance_stands_where_the_key_is_that_far() -> None:
    bias, weight = torch.tensor([[[[30.0, 20.0, 10.0]]]]), torch.tensor([[0.3, 0.2, 0.1]])  # distances 3, 2, 1
    spread, seen, factors = Band(1, 3, bias, weight).spread(2, 4, NONE)
    assert spread is not None
    assert factors is not None
    assert spread.shape == (1, 1, 2, 4)
    expected = torch.tensor([[20.0, 10.0, 0.0, 0.0], [30.0, 20.0, 10.0, 0.0]])
    assert torch.equal(spread.where(seen, 0.0)[0, 0], expected)
    assert torch.equal(factors.where(seen[0], 0.0)[0], expected / 100)


def test_each_query_may_have_a_bias_of_its_own() -> None:
    bias = torch.tensor([[1.0, 2.0], [3.0, 4.0]])  # two queries, distances 1 and 0
    spread, _, _ = Band(0, 1, bias[None, None]).spread(2, 3, NONE)
    assert spread is not None
    assert spread[0, 0, 0, :2].tolist() == [1.0, 2.0]
    assert spread[0, 0, 1, 1:].tolist() == [3.0, 4.0]


def test_distances_are_told_furthest_first() -> None:
    assert Band(1, 4).distances(NONE).tolist() == [4, 3, 2, 1]
    assert Band(1, 4).width == 4
