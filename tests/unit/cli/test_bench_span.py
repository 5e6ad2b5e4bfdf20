import json
from pathlib import Path

import pytest

from mnemon.cli import main

FLAGS = ["--recipe=all-attention-tiny", "--spans=0,100,256", "--rounds=1"]


def test_figures_are_one_value_with_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "span.json"
    assert main(["bench", "span", *FLAGS, f"--record={path}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["kept"] for row in found["rows"]] == [128, 256, 256, 256]
    assert json.loads(path.read_text()) == {
        **found,
        "command": " ".join(["mnemon bench span", *FLAGS, f"--record={path}", "--json"]),
    }


def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "span", *FLAGS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "all-attention-tiny, 1 layers, 1 lanes, steps of 64 tokens"
    assert lines[1].split()[:2] == ["span", "heads"]
    assert lines[2].split()[:3] == ["0", "all", "128"]
    assert lines[-1].split()[:3] == ["100", "one", "256"]


def test_spans_are_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "span", "--spans=a,b"]) == 2
    assert capsys.readouterr().err == (
        "mnemon: --spans a,b: give whole numbers with commas between, such as 0,256,1024\n"
    )
