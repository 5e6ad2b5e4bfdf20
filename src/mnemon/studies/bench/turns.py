"""How benchmarks measure: contenders take turns, A B A B, so that what else the machine does meets all alike."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from time import process_time

import torch

from mnemon.config import Problem
from mnemon.studies.workers import Progress

Seconds = dict[str, list[float]]
Spread = dict[str, float]


@contextmanager
def one_thread() -> Iterator[None]:
    """On one thread meanwhile."""
    held = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(held)


def seconds(act: Callable[[], object], clock: Callable[[], float] = process_time) -> float:
    """How long one call takes; by default in processor time, in which other programs have no part."""
    begun = clock()
    act()
    return clock() - begun


def take_turns(
    acts: Mapping[str, Callable[[], object]],
    rounds: int,
    progress: Progress = lambda *_: None,
    warmups: int = 1,
    clock: Callable[[], float] = process_time,
) -> Seconds:
    """Seconds of every act in each of `rounds` rounds, after `warmups` rounds that do not count."""
    if rounds < 1:
        raise Problem(f"{rounds} rounds: at least one")
    took: Seconds = {name: [] for name in acts}
    for done in range(1, warmups + rounds + 1):
        for name, act in acts.items():
            each = seconds(act, clock)
            if done > warmups:
                took[name].append(each)
        progress("rounds", done, warmups + rounds, "")
    return took


def spread(values: Sequence[float]) -> Spread:
    """Median, lowest and highest."""
    return {"median": median(values), "low": min(values), "high": max(values)}


def spreads(took: Mapping[str, Sequence[float]]) -> dict[str, Spread]:
    """`spread` of each contender."""
    return {name: spread(each) for name, each in took.items()}


def ratios(took: Mapping[str, Sequence[float]], pairs: Mapping[str, tuple[str, str]]) -> dict[str, Spread]:
    """How many times as long the first of each pair takes as the second, from the two times of each round.

    A pair with a contender that was not measured is left out.
    """
    return {
        name: spread([a / b for a, b in zip(took[slower], took[faster], strict=True)])
        for name, (slower, faster) in pairs.items()
        if slower in took and faster in took
    }
