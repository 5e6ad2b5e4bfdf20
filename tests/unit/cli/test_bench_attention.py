from pathlib import Path

import pytest

from mnemon.cli import main

SMALL = ["--dim=16", "--heads=2", "--vectors=24", "--layers=1", "--segment=20", "--window=12", "--rounds=1"]


def test_people_get_a_table_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "attention.svg"
    missing = f"--peer-python={tmp_path / 'none'}"
    assert main(["bench", "attention", *SMALL, missing, f"--plot={plot}"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 layers, 2 heads, 1 rows of 20 tokens, window 12, bfloat16, no span, no dropout; 1 rounds.")
    assert "plain products to blocks" in out
    assert "x-transformers: not measured: make bench-peers makes its environment" in out
    assert "<svg" in plot.read_text()
