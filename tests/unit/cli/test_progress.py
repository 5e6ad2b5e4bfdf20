import io

import pytest
from rich.console import Console

from mnemon.cli.progress import Phases, Steps
from mnemon.config import Problem

ERASE_LINE = "\x1b[2K"


def record(step: int) -> dict[str, float]:
    return {"step": step, "loss": 1 / step, "tokens_per_second": 1234.5}


def terminal(stream: io.StringIO) -> Console:
    return Console(file=stream, force_terminal=True, width=100, color_system=None)


@pytest.mark.parametrize(("total", "lines"), [(3, 4), (100, 21), (47, 21)])
def test_a_log_file_gets_some_lines_and_the_last_step(total: int, lines: int) -> None:
    stream = io.StringIO()
    with Phases(Console(file=stream)) as show:
        steps = Steps(show, total)
        for step in range(1, total + 1):
            steps(record(step))
    said = stream.getvalue().splitlines()
    assert len(said) == lines
    assert said[-1] == f"training  {total}/{total}  loss {1 / total:.4f}  1,234 tokens/s"
    assert steps.last == record(total)


def test_phases_may_go_side_by_side() -> None:
    stream = io.StringIO()
    with Phases(Console(file=stream)) as show:
        for done in (0, 1, 1, 2):
            show("left", done, 2)
            show("right", 1000 * done, 2000, "tokens")
    assert stream.getvalue().splitlines() == [
        "left  1/2",
        "right  1,000/2,000  tokens",
        "left  2/2",
        "right  2,000/2,000  tokens",
    ]


def test_a_terminal_gets_one_bar_a_phase() -> None:
    stream = io.StringIO()
    with Phases(terminal(stream)) as show:
        steps = Steps(show, 4)
        for step in (2, 3, 4):
            steps(record(step))
    *_, first, last, cursor = stream.getvalue().splitlines()
    assert "preparing" in first
    assert "1/1" in first
    assert "training" in last
    assert "4/4" in last
    assert "loss 0.2500  1,234 tokens/s" in last
    assert "\x1b" in cursor


def test_a_problem_takes_the_bars_away() -> None:
    stream = io.StringIO()
    with pytest.raises(Problem), Phases(terminal(stream)) as show:
        show("preparing", 0, 1)
        raise Problem("no such folder")
    assert stream.getvalue().endswith(ERASE_LINE)


def test_an_interruption_leaves_the_bar_where_it_stood() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Phases(terminal(stream)) as show:
        show("training", 3, 9)
        raise KeyboardInterrupt
    assert "3/9" in stream.getvalue().splitlines()[-2]
