import math
from typing import Literal

Schedule = Literal["cosine", "linear", "inverse-sqrt", "constant"]


def factor(
    schedule: Schedule,
    step: int,
    steps: int,
    warmup: int,
    decay: float = 1.0,
    floor: float = 0.0,
    fine_tune: int = 0,
    fine_tune_share: float = 0.1,
) -> float:
    """Learning rate of a step, counted from 1, as a share of the highest one.

    Warm-up: t / w up to step w. After it: constant; or sqrt(w / t), which is the min(t, w) / w / sqrt(max(t, w)) of
    arXiv 2203.08913 scaled to its peak; or, in the last share `decay` of the steps, but not before the end of the
    warm-up, a fall along a line or half a cosine that would reach `floor` one step after the last. The last `fine_tune`
    steps are made at `fine_tune_share` of that: constant with a tenth at the end is the schedule of arXiv 1907.01470.
    """
    rise = min(1.0, step / warmup) if warmup else 1.0
    if step > steps - fine_tune:
        rise *= fine_tune_share
    if schedule == "constant":
        return rise
    if schedule == "inverse-sqrt":
        return rise * math.sqrt(max(warmup, 1) / max(step, warmup, 1))
    begin = max(min(warmup, steps), round(steps * (1 - decay)))
    done = min(1.0, max(0.0, (step - 1 - begin) / max(steps - begin, 1)))
    left = 1 - done if schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return rise * (floor + (1 - floor) * left)
