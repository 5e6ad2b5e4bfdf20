import io

import pytest
from rich.console import Console

from mnemon.cli.progress import Steps


def record(step: int) -> dict[str, float]:
    return {"step": step, "loss": 1 / step, "tokens_per_second": 1234.5}


@pytest.mark.parametrize(("total", "lines"), [(3, 3), (100, 20), (47, 24)])
def test_a_log_file_gets_some_lines_and_the_last_step(total: int, lines: int) -> None:
    stream = io.StringIO()
    with Steps(total, Console(file=stream)) as steps:
        for step in range(1, total + 1):
            steps(record(step))
    said = stream.getvalue().splitlines()
    assert len(said) == lines
    assert said[-1] == f"step {total}/{total}  loss {1 / total:.4f}  1,234 tokens/s"
    assert steps.last == record(total)


def test_a_terminal_gets_one_line_that_moves() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    with Steps(4, console) as steps:
        assert "preparing" in stream.getvalue()
        for step in (2, 3, 4):
            steps(record(step))
    *_, last, cursor = stream.getvalue().splitlines()
    assert "\x1b" in cursor
    assert "training" in last
    assert "4/4" in last
    assert "loss 0.2500  1,234 tokens/s" in last
