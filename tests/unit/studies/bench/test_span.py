from dataclasses import replace

import pytest

from mnemon.config import Problem
from mnemon.recipes import recipe
from mnemon.studies import TABLES, bench_span
from mnemon.studies.bench.span import Plan, measure

PLAN = Plan(recipe("all-attention-tiny").model.replace(n_layers=2, vocab_size=50), (0, 64, 120, 256), lanes=3, rounds=2)


def test_operations_and_bytes_fall_with_the_longest_span() -> None:
    said = []
    rows = measure(PLAN, lambda *words: said.append(words))
    assert [(row["span"], row["heads"], row["kept"]) for row in rows] == [
        (0, "all", 128),
        (64, "all", 192),
        (120, "all", 256),
        (256, "all", 256),
        (120, "one", 256),
    ]
    dim, layers, lanes = 128, 2, 3
    assert [row["cache_bytes"] for row in rows] == [layers * lanes * row["kept"] * dim * 4 for row in rows]
    flops = [row["flops"] for row in rows]
    assert flops[0] < flops[1] < flops[2] == flops[3] == flops[4]
    # a key more: products with k and v, both projections of its hidden state, and its distance; twice in backward
    key = 2 * 3 * (64 * dim * 2 + 2 * dim * dim) + 2 * 3 * 64 * dim
    assert (flops[1] - flops[0]) / (lanes * layers * 64) == pytest.approx(key, rel=0.05)
    assert all(0 < row["seconds"]["low"] <= row["seconds"]["median"] <= row["seconds"]["high"] for row in rows)
    assert said == [("rounds", 1, 2, ""), ("rounds", 2, 2, "")]


def test_the_page_compares_with_the_longest() -> None:
    rows = measure(replace(PLAN, lanes=1, rounds=1), lambda *_: None)
    record = {
        "recipe": "r",
        "layers": 2,
        "lanes": 1,
        "rounds": 1,
        "tokens": 64,
        "limit": 256,
        "rows": rows,
        "environment": {"threads": 1},
    }
    lines = TABLES["span"].lines(record)
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|") == 9
    assert lines[5].startswith("| 256 | all | 256 |")
    assert lines[5].split("|")[7].strip() == "1.0"
    assert float(lines[2].split("|")[7]) > 1.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "vanilla-tiny"}, "vanilla-tiny: has no adaptive span over a cache"),
        ({"spans": (0, 9000)}, "spans 0, 9000: give some from 0 to 8192, the limit of all-attention"),
        ({"spans": ()}, "spans none"),
        ({"rounds": 0}, "0 rounds: at least one of each"),
        ({"name": "all-atention"}, "did you mean 'all-attention'"),
    ],
)
def test_what_cannot_be_measured_is_a_problem(given: dict[str, object], message: str) -> None:
    with pytest.raises(Problem, match=message):
        bench_span(**given)
