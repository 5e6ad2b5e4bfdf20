import pytest

from mnemon.config import Problem
from mnemon.studies.bench.read import ALONG, PLAIN, REMEMBER, Plan, bench_read, read_chart, read_lines

SMALL = Plan("memorizing-tiny", (64, 100), rounds=1)


def test_a_memory_that_is_written_stands_beside_none() -> None:
    found = bench_read(SMALL)
    assert (found["tokens"], found["layers"], found["memory_layers"]) == (64, 4, [2])
    for of in found["rows"]:
        assert list(of["tokens_per_second"]) == [PLAIN, REMEMBER, ALONG]
        speed = {name: each["median"] for name, each in of["tokens_per_second"].items()}
        assert of["ratios"][REMEMBER]["median"] == pytest.approx(speed[REMEMBER] / speed[PLAIN])
    lines = read_lines(found)
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| 64", "| 100"]
    assert "4 layers, 1 of them above the memory" in "\n".join(lines)
    assert set(read_chart(found).values[REMEMBER]) == {64, 100}


def test_at_least_one_of_each() -> None:
    with pytest.raises(Problem, match="5 rounds of 0 segments: at least one of each, and one size"):
        bench_read(Plan(segments=0))
