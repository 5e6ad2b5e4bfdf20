import json
from pathlib import Path

import pytest

from mnemon.cli import bench_gpu_floor, main


def test_the_floor_is_one_value_with_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "floor.json"
    assert main(["bench", "gpu-floor", "--memories=64,8192", f"--record={path}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["memory"] for row in found["rows"]] == [0, 64, 8192]
    assert json.loads(path.read_text())["rows"] == found["rows"]


def test_people_get_a_table_that_says_nothing_was_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = {"kernel": "search", "registers": 7, "spilled_bytes": 0, "shared_bytes": 1024, "threads": 32}
    measure = bench_gpu_floor.bench_gpu_floor
    monkeypatch.setattr(
        bench_gpu_floor, "bench_gpu_floor", lambda plan, compiles: {**measure(plan), "kernels": [kernel]}
    )
    assert main(["bench", "gpu-floor", "--memories=8192", "--compile"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("reasoned, not measured")
    assert lines[1].split()[:2] == ["memory", "weights"]
    assert lines[3].split()[0] == "8,192"
    assert lines[-1].split() == ["search", "7", "0", "1,024", "32"]


def test_memories_are_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "gpu-floor", "--memories=many"]) == 2
    assert capsys.readouterr().err == "mnemon: --memories many: give whole numbers with commas between\n"
