import numpy as np

from mnemon.evaluate import Scored
from mnemon.studies.compare import between, compare, mean_over_seeds


def scored(name: str, nats: list[float]) -> Scored:
    n = len(nats)
    return Scored(name, np.arange(n), np.array(nats, np.float32), np.full(n, 2))


def test_seeds_are_averaged_token_by_token() -> None:
    (mean,) = mean_over_seeds([[scored("a", [1.0, 3.0])], [scored("a", [2.0, 5.0])]])
    assert mean.nats.tolist() == [1.5, 4.0]
    assert mean.bytes.tolist() == [2, 2]


def test_positions_are_taken_from_the_first_to_before_the_last() -> None:
    (inside,) = between([scored("a", [0.0, 1.0, 2.0, 3.0]), scored("short", [9.0])], 1, 3)
    assert inside.nats.tolist() == [1.0, 2.0]
    assert [each.document for each in between([scored("a", [0.0, 1.0]), scored("b", [9.0])], 1)] == ["a"]


def test_a_claim_holds_only_where_the_whole_interval_is_below_zero() -> None:
    low, high = [scored(name, [1.0] * 8) for name in "abcd"], [scored(name, [2.0] * 8) for name in "abcd"]
    assert compare("n", "t", low, high)["holds"]
    assert not compare("n", "t", high, low)["holds"]
    assert not compare("n", "t", low, low)["holds"]
    assert compare("n", "t", low, high)["bits_per_byte"] < 0
