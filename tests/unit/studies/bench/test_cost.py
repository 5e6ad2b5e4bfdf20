from dataclasses import replace

import pytest
import torch

from mnemon.config import Problem
from mnemon.studies.bench.cost import CHECKS, Point, bench_cost, cost_chart, cost_lines, grid
from mnemon.studies.bench.cost_terms import TERMS, Size, operations, remembered_bytes
from mnemon.studies.bench.fit import non_negative

TINY = Size(window=96, persistent=24, memory=1024, top_k=7, layers=2)
SIZES = {
    "as it is": TINY,
    "no memory": replace(TINY, memory=0),
    "wider": replace(TINY, window=160),
    "more vectors": replace(TINY, persistent=50),
    "larger": replace(TINY, memory=3072),
    "more neighbours": replace(TINY, top_k=19),
    "deeper": replace(TINY, layers=3),
    "rows": replace(TINY, rows=3),
}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_operations_and_bytes_are_as_told(size: Size) -> None:
    with torch.no_grad():
        point = Point(size)
    assert point.operations == sum(operations(size).values())
    assert point.bytes == sum(remembered_bytes(size).values())


def test_a_fit_finds_the_coefficients_and_none_below_zero() -> None:
    amounts = [[1, 2, 5], [1, 4, 3], [1, 8, 9], [1, 16, 2], [1, 3, 3]]
    assert non_negative(amounts, [0.5 + 3 * b for _, b, _ in amounts]) == pytest.approx([0.5, 3.0, 0.0], abs=1e-9)
    falling = non_negative([[1, 1], [1, 2], [1, 3]], [3.0, 2.0, 1.0])
    assert falling[1] == 0
    assert falling[0] > 0


def test_measured_steps_are_told_by_terms() -> None:
    found = bench_cost([TINY, replace(TINY, layers=4)], [replace(TINY, rows=2)], steps=1, rounds=1)
    assert list(found["coefficients"]) == list(TERMS)
    assert min(found["coefficients"].values()) >= 0
    assert [of["as_told"] for of in found["rows"]] == [True] * 3
    assert found["largest_deviation"]["fitted"] < 1
    assert any("(check)" in line for line in cost_lines(found))
    assert cost_chart(found).values == {}  # nothing but the memory may differ from what is usual


def test_the_grid_goes_up_to_the_largest_memory() -> None:
    assert max(size.memory for size in grid()) == 1_048_576
    assert max(size.memory for size in grid(65_536)) == 65_536
    assert not set(grid()) & set(CHECKS)


def test_too_little_to_fit_is_said() -> None:
    with pytest.raises(Problem, match="1 sizes, 5 rounds of 8 steps: at least 2 sizes and one of the others"):
        bench_cost([TINY])
