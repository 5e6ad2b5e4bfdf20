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
    told, parts = found["told_parts"], found["parts"]
    assert (told["search"], told["merge"]) == (1 + 6.5, 1)
    assert found["told_ms"] == pytest.approx(sum(told.values()))
    assert min(found["measured_ms"], found["one_process_ms"], *told.values(), *parts.values()) > 0
    first, second = pair_lines({"pair": found})
    assert first.startswith("two processes with half of 1,300 entries each: ")
    assert first.endswith("of the best of all they found 1.000")
    assert second.startswith("of that measured: send ")
    assert "told: search 7.50, trip " in second
    assert pair_lines({"pair": None}) == []
