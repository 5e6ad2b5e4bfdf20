import json
from pathlib import Path

import pytest

from mnemon.cli import main

FLAGS = ["--sizes=64,128,256", "--heads=2", "--dim=8", "--asked=3", "--top-k=4", "--tiers=exact", "--pair=0"]


@pytest.mark.usefixtures("in_this_process")
def test_people_get_tables_a_record_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, plot = tmp_path / "scale.json", tmp_path / "scale.svg"
    words = ["bench", "scale", *FLAGS, "--tokens=1e6,1e9", "--ram=1", f"--record={record}", f"--plot={plot}"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("one layer of 2 heads of size 8, float32, top 4; machines of 1 GiB, 80% of it")
    assert [line.split()[:2] for line in lines[-2:]] == [["exact", "1,000,000"], ["exact", "1,000,000,000"]]
    found = json.loads(record.read_text())
    assert list(found["tiers"]["exact"]["sizes"]) == ["64", "128", "256"]
    assert found["command"].startswith("mnemon bench scale")
    assert "<svg" in plot.read_text()


def test_what_cannot_be_told_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for flag, message in (
        ("--tokens=many", "--tokens many: give numbers with commas between, such as 1e8,1e10"),
        ("--tokens=nan", "totals and layers must be at least 1"),
        ("--sizes=64", "at least 3"),
        ("--pair=100", "pair 100: at least 1024 entries for two, or 0 for no pair"),
        ("--tiers=mmpa", "did you mean 'mmap'"),
    ):
        assert main(["bench", "scale", *FLAGS, flag]) == 2
        assert message in capsys.readouterr().err
