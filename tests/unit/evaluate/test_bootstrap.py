import math

import numpy as np
import pytest

from mnemon.config import Problem
from mnemon.evaluate import Scored, bootstrap


def readings(bits: list[float], sizes: list[int]) -> list[Scored]:
    return [
        Scored(f"d{i}", np.arange(1), np.array([b * math.log(2)], np.float32), np.array([n]))
        for i, (b, n) in enumerate(zip(bits, sizes, strict=True))
    ]


def test_the_difference_is_that_of_the_ratios_of_sums() -> None:
    found = bootstrap(readings([10, 30], [10, 20]), readings([20, 50], [10, 20]), seed=0)
    assert found.bits_per_byte == pytest.approx(-1.0)
    assert found.documents == 2


def test_the_interval_is_that_of_the_formula_as_a_loop() -> None:
    draws = np.random.default_rng(7)
    bits_a, sizes = draws.gamma(3.0, 20.0, 30), draws.integers(5, 50, 30)
    bits_b = bits_a + draws.normal(1.0, 4.0, 30)
    a, b = readings(bits_a.tolist(), sizes.tolist()), readings(bits_b.tolist(), sizes.tolist())
    found = bootstrap(a, b, seed=1, samples=4000)
    loop = []
    for _ in range(4000):
        chosen = draws.integers(0, 30, 30)
        loop.append((bits_a[chosen].sum() - bits_b[chosen].sum()) / sizes[chosen].sum())
    low, high = np.quantile(loop, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.006)
    assert found.high == pytest.approx(high, abs=0.006)
    assert found.low < found.bits_per_byte < found.high


def test_a_constant_gain_is_decided_and_no_gain_is_not() -> None:
    bits, sizes = [8.0, 20.0, 31.0, 7.0], [10, 10, 10, 10]
    same = readings(bits, sizes)
    better = readings([b - 1 for b in bits], sizes)
    found = bootstrap(better, same, seed=0, samples=500)
    assert found.decided
    assert found.low == pytest.approx(-0.1)
    assert found.high == pytest.approx(-0.1)
    assert not bootstrap(same, same, seed=0, samples=500).decided


def test_the_seed_decides_the_samples() -> None:
    draws = np.random.default_rng(7)
    sizes = draws.integers(5, 50, 40).tolist()
    a, b = (readings(draws.gamma(3.0, 20.0, 40).tolist(), sizes) for _ in range(2))
    assert bootstrap(a, b, seed=3, samples=1500) == bootstrap(a, b, seed=3, samples=1500)
    assert bootstrap(a, b, seed=3) != bootstrap(a, b, seed=4)


def test_readings_of_other_documents_are_refused() -> None:
    with pytest.raises(Problem, match="not of the same documents"):
        bootstrap(readings([1.0], [1]), readings([1.0, 2.0], [1, 1]), seed=0)
    with pytest.raises(Problem, match="not of the same documents"):
        bootstrap([], [], seed=0)
