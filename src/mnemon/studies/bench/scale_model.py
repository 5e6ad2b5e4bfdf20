"""What a token takes among many entries: terms fitted to what was measured, and shards of it beyond one machine."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mnemon.studies.bench.fit import non_negative

# What the time of a search grows with. Lists and probes of an inverted file stay as they are, so that a search compares
# the same share of all entries: it grows as an exact one does, only slower. A greedy walk over a graph of neighbours
# takes about log2(m) steps.
FORMS: dict[str, Callable[[float], float]] = {"m": lambda m: m, "log2 m": math.log2}
FEWEST = 3  # sizes of a fit: two coefficients, and one size that can be left out


@dataclass(frozen=True)
class Fit:
    """a + b f(m) for m entries; `form` names f."""

    form: str
    a: float
    b: float

    def at(self, m: float) -> float:
        return self.a + self.b * FORMS[self.form](m)


def fitted(form: str, points: Mapping[int, float]) -> Fit:
    """The terms a, b >= 0 that come nearest to `points`, by entries: least squares of relative deviations."""
    a, b = non_negative([[1.0, FORMS[form](m)] for m in points], list(points.values()))
    return Fit(form, a, b)


def deviations(form: str, points: Mapping[int, float]) -> dict[str, float]:
    """How far off the terms are: at most; at most where each size is left out of the fit in turn; at the largest size.

    The last is told from smaller sizes alone, as everything beyond the largest size is.
    """
    whole = fitted(form, points)
    out = {size: fitted(form, {m: took for m, took in points.items() if m != size}) for size in points}
    off = {size: abs(fit.at(size) / points[size] - 1) for size, fit in out.items()}
    return {
        "fitted": max(abs(whole.at(m) / took - 1) for m, took in points.items()),
        "left_out": max(off.values()),
        "largest_left_out": off[max(points)],
    }


@dataclass(frozen=True)
class Machines:
    """What shards lie on: memory of a machine and the share of it that entries may take, and the network.

    `layers` search one after the other; `within_ms` is the time a token that more machines are sought for.
    """

    ram_gib: float = 64.0
    share: float = 0.8
    round_trip_ms: float = 0.5
    gigabits: float = 10.0
    layers: int = 1
    within_ms: float = 100.0


@dataclass(frozen=True)
class Shape:
    """What a token asks for: `top_k` neighbours a head of keys and values of `dim` numbers of `number` bytes each."""

    heads: int
    dim: int
    top_k: int
    number: int

    @property
    def entry_bytes(self) -> int:
        """Of one remembered token: a key and a value a head, and its place."""
        return 2 * self.heads * self.dim * self.number + 8

    def answers_ms(self, shards: int, machines: Machines) -> float:
        """Until all answers are there, whichever is sooner.

        In one round each shard sends its best with their keys and values; in two it sends scores and ids (12 bytes),
        and only the best of all are fetched.
        """
        best = self.heads * self.top_k
        vectors, rate = 2 * self.dim * self.number, 1e9 / 8e3 * machines.gigabits  # bytes a millisecond
        one = machines.round_trip_ms + shards * best * (12 + vectors) / rate
        two = 2 * machines.round_trip_ms + best * (12 * shards + vectors) / rate
        return min(one, two)


def latency(search: Fit, merge: Fit, shape: Shape, tokens: float, shards: int, machines: Machines) -> float:
    """Milliseconds of one token: shards search side by side, and their best are merged."""
    took = search.at(tokens / shards)
    if shards > 1:
        took += shape.answers_ms(shards, machines) + merge.at(shards)
    return machines.layers * took


def forecast(
    search: Fit, merge: Fit, shape: Shape, entry_bytes: float, totals: Sequence[float], machines: Machines
) -> list[dict[str, Any]]:
    """What each total of remembered tokens needs: bytes, the fewest machines, and those for a time a token."""
    found = []
    for tokens in totals:
        size = tokens * entry_bytes * machines.layers
        fewest = max(1, math.ceil(size / (machines.share * machines.ram_gib * 2**30)))
        took = latency(search, merge, shape, tokens, fewest, machines)
        enough = _enough(partial(latency, search, merge, shape, tokens, machines=machines), fewest, machines.within_ms)
        found.append({"tokens": tokens, "bytes": size, "machines": fewest, "ms_a_token": took, "within": enough})
    return found


def _enough(took: Callable[[int], float], fewest: int, within: float) -> dict[str, float] | None:
    """The fewest machines on which a token takes no longer than is wished; None where no number of them would do.

    More machines search faster and merge for longer, so that doubling them stops where it no longer helps.
    """
    shards, before = fewest, fewest
    while took(shards) > within:
        if took(2 * shards) >= took(shards):
            return None
        shards, before = 2 * shards, shards
    while shards - before > 1:
        middle = (shards + before) // 2
        before, shards = (before, middle) if took(middle) <= within else (middle, shards)
    return {"machines": shards, "ms_a_token": took(shards)}
