import threading

import pytest

from mnemon.config import Problem
from mnemon.train.saving import Saver


def failing() -> None:
    raise Problem("the disk is full")


def test_a_job_is_done_at_once_unless_it_is_to_go_on_beside() -> None:
    threads: list[bool] = []

    def job() -> None:
        threads.append(threading.current_thread() is threading.main_thread())

    for beside in (False, True):
        with Saver(beside) as saver:
            saver.run(job)
    assert threads == [True, False]


def test_one_job_waits_for_the_one_before_it() -> None:
    gate, done = threading.Event(), []
    with Saver(beside=True) as saver:
        saver.run(lambda: (gate.wait(), done.append(1)))  # type: ignore[func-returns-value, arg-type, return-value]
        assert done == []
        gate.set()
        saver.run(lambda: done.append(len(done) + 1))
    assert done == [1, 2]


def test_a_problem_of_a_job_is_raised_by_the_next_or_at_the_end() -> None:
    with pytest.raises(Problem, match="the disk is full"), Saver(beside=True) as saver:
        saver.run(failing)
        saver.run(lambda: None)
    with pytest.raises(Problem, match="the disk is full"), Saver(beside=True) as saver:
        saver.run(failing)
    with pytest.raises(Problem, match="the disk is full"):
        Saver(beside=False).run(failing)


def test_what_stops_the_training_is_said_and_not_what_happened_to_a_checkpoint() -> None:
    with pytest.raises(KeyboardInterrupt), Saver(beside=True) as saver:
        saver.run(failing)
        raise KeyboardInterrupt
