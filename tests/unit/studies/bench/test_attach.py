from dataclasses import asdict, replace

import pytest

from mnemon.config import Problem
from mnemon.hosts.plain import Shape
from mnemon.studies import TABLES
from mnemon.studies.bench.attach import Plan, bench_attach, measure

SMALL = Plan(Shape(24, 3, 6, 3, 20, 50, "float32"), size=50, prompt=7, steps=2, rounds=2, top_k=4)


def test_hosts_take_turns_and_every_call_is_timed() -> None:
    said = []
    found = measure(SMALL, lambda *words: said.append(words))
    assert {what: list(of) for what, of in found["seconds"].items()} == {
        "prefill": ["plain", "memory"],
        "decode": ["plain", "memory", "full cache"],
        "read": ["plain", "memory"],
    }
    assert all(
        0 < of["low"] <= of["median"] <= of["high"] for each in found["seconds"].values() for of in each.values()
    )
    assert list(found["ratios"]) == [
        "prefill: memory to plain",
        "decode: memory to plain",
        "decode: full cache to memory",
        "read: memory to plain",
    ]
    assert found["layer"] == 1  # three quarters of the depth
    assert said == [("rounds", done, 2, "") for done in range(3)]


def test_the_page_shows_times_ratios_and_the_host() -> None:
    record = {**asdict(SMALL), "read": 4096, **measure(SMALL, lambda *_: None)}
    text = "\n".join(TABLES["attach-speed"].lines(record))
    assert text.count("| decode, a token |") == 3
    assert "A Llama of 3 layers, dim 24, 6 heads on 3 key/value heads, feed-forward 20, vocabulary 50" in text
    assert "| decode: full cache to memory |" in text


@pytest.mark.parametrize("changes", [{"size": 0}, {"rounds": 0}, {"steps": 0}])
def test_what_cannot_be_measured_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(Problem, match="at least 1"):
        bench_attach(replace(SMALL, **changes))


def test_a_host_that_no_llama_can_be_is_refused() -> None:
    with pytest.raises(Problem, match="dim must be a multiple of twice the heads"):
        Shape(heads=5)
