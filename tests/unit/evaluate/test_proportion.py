import pytest

from mnemon.evaluate.proportion import wilson


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(100.0, 100, 0.963, 1.0), (0.0, 100, 0.0, 0.037), (50.0, 100, 0.404, 0.596), (1.0, 1, 0.207, 1.0)],
)
def test_the_interval_is_wilsons(right: int, n: int, low: float, high: float) -> None:
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-4)
