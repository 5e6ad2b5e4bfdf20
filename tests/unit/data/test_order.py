import subprocess
import sys
from collections import Counter

from mnemon.data.order import draw, shuffled, split_of


def test_a_draw_is_the_same_in_another_process() -> None:
    code = "from mnemon.data.order import draw; print(repr(draw('a', 1)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == draw("a", 1)


def test_draws_fill_the_unit_interval_evenly() -> None:
    splits = Counter(split_of(draw("x", k)) for k in range(4000))
    assert abs(splits["train"] - 3200) < 120
    assert abs(splits["valid"] - 400) < 80


def test_draws_keep_their_parts_apart() -> None:
    assert draw("ab", "c") != draw("a", "bc")


def test_shuffling_depends_on_the_seed_and_not_on_what_else_is_there() -> None:
    items = [f"i{k}" for k in range(30)]
    order = shuffled(items, 0)
    assert sorted(order) == sorted(items)
    assert order not in (items, shuffled(items, 1))
    assert shuffled(items[::-1], 0) == order
    assert shuffled(items[1:], 0) == [item for item in order if item != "i0"]
