import json
from pathlib import Path

import pytest

from mnemon.cli import main

FLAGS = ["--shapes=1x16x1100", "--sizes=200", "--keys=random", "--top-k=4", "--dim=8", "--rounds=1"]


def test_people_get_tables_a_record_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, plot = tmp_path / "search.json", tmp_path / "search.svg"
    assert main(["bench", "search", *FLAGS, f"--record={record}", f"--plot={plot}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "the best 4 of unit vectors of size 8, one thread: milliseconds"
    assert lines[2].startswith("1 x 16 x 1,100, random ")
    assert json.loads(record.read_text())["many"][0]["found"]["PyTorch, float32 keys"]["recall"] == 1
    assert "<svg" in plot.read_text()


def test_shapes_are_three_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "search", "--shapes=4096x65536"]) == 2
    assert capsys.readouterr().err == (
        "mnemon: --shapes 4096x65536: give heads x queries x entries, such as 1x4096x65536,8x512x8192\n"
    )
