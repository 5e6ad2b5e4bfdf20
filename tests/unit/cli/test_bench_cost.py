from pathlib import Path

import pytest

from mnemon.cli import bench_cost, main
from mnemon.studies.bench.cost import bench_cost as study
from mnemon.studies.bench.cost_terms import Size


def test_people_get_both_times_and_coefficients(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [Size(memory=40), Size(memory=1024)]
    monkeypatch.setattr(bench_cost, "bench_cost", lambda sizes, **flags: study(few, (), **flags))
    plot = tmp_path / "cost.svg"
    assert main(["bench", "cost", "--largest=1024", "--rounds=1", "--steps=1", f"--plot={plot}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "memorizing-all-attention-tiny, one token a step, milliseconds on one thread"
    assert [line.split()[2] for line in lines[2:4]] == ["40", "1,024"]
    assert lines[-1].startswith("largest deviation ")
    assert "<svg" in plot.read_text()
