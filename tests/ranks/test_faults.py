from typing import Any

import pytest

from scripts import told


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return told("faults.py", tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("lanes", "lanes 3 count all ranks together and cannot be dealt evenly to 2 ranks: take a multiple of 2"),
        ("flag", "--train.lames: unknown flag (did you mean '--train.lanes'?)"),
        ("command", "eval runs in one process: start it without torchrun; of several ranks are train and finetune"),
        ("one machine lacks the texts", "rank 1: "),
        ("one machine lacks the folder", "rank 1: "),
        ("alone", "parallel 'fsdp' is for several ranks, and this is one process: start it with torchrun"),
        ("there", "already there; choose another folder"),
        ("unmet", "rank 1 did not meet the 2 ranks at 127.0.0.1:"),
    ],
)
def test_bad_input_is_said_once_by_all_ranks_together(faults: Any, name: str, line: str) -> None:
    found = faults[name]
    assert set(found["statuses"]) == {2}
    assert len(found["lines"]) == 1
    assert line in found["lines"][0]


@pytest.mark.parametrize(
    ("name", "status", "line", "whole"),
    [
        ("killed", 2, "another rank has stopped or cannot be reached", 5),
        ("full", 2, "the checkpoint could not be saved ([Errno 28] No space left on device)", 5),
        ("stopped", 130, "interrupted", 7),
    ],
)
def test_when_one_rank_fails_all_stop_with_one_line_and_a_whole_checkpoint(
    faults: Any, name: str, status: int, line: str, whole: int
) -> None:
    found = faults[name]
    assert found["statuses"][0] == status
    assert found["statuses"][1] == (-9 if name == "killed" else status)
    assert len(found["lines"]) == 1
    assert line in found["lines"][0]
    assert found["whole"] == whole == found["steps"][0]
    assert found["read"] >= 7
    assert name == "killed" or found["torn"] == []
