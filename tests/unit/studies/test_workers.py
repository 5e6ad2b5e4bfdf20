import os
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
