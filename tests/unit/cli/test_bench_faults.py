import json
from pathlib import Path
from typing import Any

import pytest

from mnemon.cli import bench_faults, main

FOUND: dict[str, Any] = {
    "kinds": {"kill": "kill -9"},
    "counts": {"kill, save": {"struck": 3, "well": 2}},
    "total": {"struck": 3, "well": 2},
    "failed": [{"number": 1, "kind": "kill", "target": "save", "wrong": ["lost: a"]}],
    "seconds": 1.0,
    "seed": 4,
}


def test_one_fault_is_carried_out_again_and_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "faults.json"
    words = ["bench", "faults", "--count=40", "--seed=1", "--only=3", f"--record={record}", "--json"]
    assert main(words) == 0
    said, kept = json.loads(capsys.readouterr().out), json.loads(record.read_text())
    assert [each["number"] for each in said["faults"]] == [3]
    assert said["failed"] == []
    assert kept == {**said, "command": " ".join(["mnemon", *words])}


def test_harm_is_counted_and_told_with_how_to_see_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_faults, "bench_faults", lambda *words: FOUND)
    assert main(["bench", "faults", "--seed=4"]) == 2
    said = capsys.readouterr()
    assert [line.split() for line in said.out.splitlines()[1:3]] == [
        ["kill", "-9", "save", "3", "2"],
        ["in", "all", "3", "2"],
    ]
    assert "Not run, for want of a server" in said.out
    assert said.err == (
        "mnemon: 1 of 3 faults did harm, the first kill of save: lost: a; "
        "--count 360 --seed 4 --only 1 carries it out again\n"
    )


def test_a_plan_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "faults", "--count=0"]) == 2
    assert capsys.readouterr().err == "mnemon: 0 faults, only None: at least 1 fault, and the number of one of them\n"


def test_a_server_that_is_not_there_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "faults", "--milvus=http://127.0.0.1:1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("mnemon: milvus http://127.0.0.1:1: nothing answers there")
    assert said.count("\n") == 1
