import json
from pathlib import Path

import pytest

from mnemon.cli import main

FLAGS = ["--recipe=memorizing-tiny", "--sizes=40", "--index=exact", "--rounds=1", "--steps=1"]


def test_people_get_a_table_a_record_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, plot = tmp_path / "decode.json", tmp_path / "decode.svg"
    assert main(["bench", "decode", *FLAGS, f"--record={record}", f"--plot={plot}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "memorizing-tiny, 4 layers, float32: milliseconds a token, one thread"
    assert [line.split()[:2] for line in lines[2:]] == [["40", "no"], ["40", "exact"], ["40", "full"]]
    assert json.loads(record.read_text())["rows"][0]["recall"] == {"exact": 1.0}
    assert "<svg" in plot.read_text()


def test_sizes_are_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "decode", "--sizes=all"]) == 2
    assert capsys.readouterr().err == (
        "mnemon: --sizes all: give whole numbers with commas between, such as 8192,65536\n"
    )
