import pytest

from mnemon.config import Problem
from mnemon.studies.bench.turns import ratios, seconds, spread, spreads, take_turns


class Clock:
    """A clock that the acts themselves put forward."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def __call__(self) -> float:
        return self.now

    def act(self, name: str, took: float):
        def call() -> None:
            self.calls.append(name)
            self.now += took

        return call


def test_contenders_take_turns_and_the_first_round_does_not_count():
    clock, said = Clock(), []
    acts = {"a": clock.act("a", 2.0), "b": clock.act("b", 3.0)}
    took = take_turns(acts, 2, lambda *words: said.append(words), clock=clock)
    assert clock.calls == ["a", "b"] * 3
    assert took == {"a": [2.0, 2.0], "b": [3.0, 3.0]}
    assert said[-1] == ("rounds", 3, 3, "")


def test_an_act_is_timed_by_the_processor_unless_told_otherwise():
    clock = Clock()
    assert seconds(clock.act("a", 5.0), clock) == 5.0
    assert 0.0 < seconds(lambda: sum(range(100_000))) < 10.0


def test_ratios_pair_the_times_of_a_round():
    took = {"slow": [4.0, 9.0, 2.0], "fast": [2.0, 3.0, 2.0]}
    pairs = {"slow to fast": ("slow", "fast"), "peer to fast": ("peer", "fast")}
    assert ratios(took, pairs) == {"slow to fast": {"median": 2.0, "low": 1.0, "high": 3.0}}


def test_a_spread_is_the_median_between_its_ends():
    assert spread([3.0, 1.0, 7.0]) == {"median": 3.0, "low": 1.0, "high": 7.0}
    assert spreads({"a": [1.0]}) == {"a": {"median": 1.0, "low": 1.0, "high": 1.0}}


def test_no_rounds_are_refused():
    with pytest.raises(Problem, match="0 rounds: at least one"):
        take_turns({}, 0)
