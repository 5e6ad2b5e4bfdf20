import shutil
import threading
from pathlib import Path

import pytest

import tiny
from mnemon.config import Problem
from mnemon.train import read_records, resume, train
from mnemon.train.checkpoint import saved_steps
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


def test_a_run_that_saves_beside_has_the_same_losses_and_goes_on_from_what_it_saved(tmp_path: Path) -> None:
    whole, cut = (
        train(tiny.run_config(save_beside=beside), tmp_path / str(beside), tiny.corpus()) for beside in (False, True)
    )
    assert saved_steps(cut / "checkpoints") == [12, 10]
    shutil.rmtree(cut / "checkpoints" / "step-12")
    resume(cut, tiny.corpus())
    found, wanted = ([record["loss"] for record in read_records(out)] for out in (cut, whole))
    assert found == wanted
