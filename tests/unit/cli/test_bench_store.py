import json
from pathlib import Path

import pytest

from mnemon.cli import main

FLAGS = ["--size=300", "--heads=2", "--dim=8", "--tokens=3", "--top-k=4"]


def test_people_get_a_table_a_record_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, plot = tmp_path / "store.json", tmp_path / "store.svg"
    words = ["bench", "store", *FLAGS, "--stores=mmap", f"--folder={tmp_path}", f"--record={record}", f"--plot={plot}"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "300 entries of 2 heads of size 8, random, top 4"
    found = json.loads(record.read_text())["stores"]
    assert {name: of["recall"] for name, of in found.items()} == {"exact": 1.0, "mmap": 1.0}
    assert found["mmap"]["open_seconds"] < 1
    assert "<svg" in plot.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store.json", "store.svg"], "nothing else is left"


def test_what_cannot_be_measured_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for flag, message in (("--size=3", "size at least top_k"), ("--stores=mmpa", "did you mean 'mmap'")):
        assert main(["bench", "store", *FLAGS, flag]) == 2
        assert message in capsys.readouterr().err
