import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch

from mnemon.config import Problem
from mnemon.studies.workers import Progress, run_all


def square(x: int, progress: Progress) -> tuple[int, int, int]:
    progress(f"task {x}", 1, 1, "done")
    return x * x, torch.get_num_threads(), os.getpid()


def fail(progress: Progress) -> None:
    raise Problem("this task cannot be done")


def idle(progress: Progress) -> None:
    while True:
        progress("idle", 0, os.getpid(), "")
        time.sleep(0.05)


def show(phase: str, done: int, total: int, words: str) -> None:
    sys.stdout.write(f"{total}\n")
    sys.stdout.flush()


def lives(process: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="processes are looked up in /proc")
def test_all_processes_end_when_the_one_that_asked_for_them_is_killed() -> None:
    here = os.path.dirname(__file__)
    code = f"import sys; sys.path.insert(0, {here!r}); import test_workers as t; t.run_all([t.idle], t.show)"
    asking = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert asking.stdout is not None
    worker = int(asking.stdout.readline())
    with open(f"/proc/{asking.pid}/task/{asking.pid}/children", encoding="utf-8") as listed:
        children = [int(word) for word in listed.read().split()]
    assert worker in children
    os.kill(asking.pid, signal.SIGKILL)
    asking.wait()
    asking.stdout.close()
    deadline = time.monotonic() + 60
    while any(lives(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [child for child in children if lives(child)] == []


def test_results_come_in_the_order_of_the_tasks_from_other_processes_of_one_thread() -> None:
    said: list[tuple[str, int, int, str]] = []
    found = run_all([partial(square, x) for x in (3, 1, 2)], lambda *words: said.append(words))
    assert [value for value, _, _ in found] == [9, 1, 4]
    assert {threads for _, threads, _ in found} == {1}
    assert os.getpid() not in {process for _, _, process in found}
    assert sorted(said) == [(f"task {x}", 1, 1, "done") for x in (1, 2, 3)]


def test_the_problem_of_a_task_reaches_the_caller() -> None:
    with pytest.raises(Problem, match="cannot be done"):
        run_all([partial(square, 1), fail], lambda *words: None)
