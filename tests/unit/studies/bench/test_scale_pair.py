from collections.abc import Callable
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

import pytest

from mnemon.studies.bench.scale_model import Fit
from mnemon.studies.bench.scale_page import pair_lines
from mnemon.studies.bench.scale_pair import Start, check_pair, start_process
from mnemon.studies.bench.store_alone import Job

JOB = Job("", "exact", "", 1300, 2, 8, 4, 5, "float32", None)


def _thread(work: Callable[[Connection, Job, int], None], given: tuple[Connection, Job, int]) -> Any:
    thread = Thread(target=work, args=given)
    thread.start()
    return thread


@pytest.mark.parametrize("start", [start_process, _thread])
def test_two_that_hold_half_find_what_one_finds_that_holds_all(start: Start) -> None:
    found = check_pair(JOB, Fit("m", 1.0, 0.01), Fit("m", 0.0, 0.5), start)
    assert found["same"] == 1.0
    assert found["told_ms"] == pytest.approx(1 + 6.5 + 1 + found["round_trip_ms"])
    assert min(found["measured_ms"], found["one_process_ms"], found["round_trip_ms"]) > 0
    (line,) = pair_lines({"pair": found})
    assert line.startswith("two processes with half of 1,300 entries each: ")
    assert line.endswith("of the best of all they found 1.000")
    assert pair_lines({"pair": None}) == []
