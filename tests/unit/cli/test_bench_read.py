from pathlib import Path

import pytest

from mnemon.cli import main


def test_people_get_a_table_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "read.svg"
    assert main(["bench", "read", "--recipe=memorizing-tiny", "--sizes=64", "--rounds=1", f"--plot={plot}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "memorizing-tiny, 4 layers, float32: tokens/s without gradients, one thread"
    assert [line.split()[:3] for line in lines[2:]] == [
        ["64", "no", "memory"],
        ["64", "only", "remembered"],
        ["64", "read", "with"],
    ]
    assert "<svg" in plot.read_text()
