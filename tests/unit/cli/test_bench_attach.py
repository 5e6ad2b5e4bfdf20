import json
from pathlib import Path

import pytest

from mnemon.cli import main

HOST = ["--dim=24", "--layers=2", "--heads=6", "--groups=3", "--inner=20", "--vocabulary=50"]
SMALL = [*HOST, "--size=40", "--prompt=5", "--steps=1", "--rounds=1", "--top-k=3"]


def test_people_get_tables_and_a_record_names_its_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "attach.json"
    words = ["bench", "attach", *SMALL, f"--record={record}"]
    assert main(words) == 0
    out, kept = capsys.readouterr().out, json.loads(record.read_text())
    assert out.startswith("a Llama of 2 layers, dim 24, 6 heads on 3 key/value heads")
    assert "decode, a token  full cache" in out
    assert "decode: full cache to memory" in out
    assert kept["command"] == " ".join(["mnemon", *words])
    assert (kept["size"], kept["shape"]["groups"], kept["parameters"] > 0) == (40, 3, True)


def test_what_does_not_fit_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "attach", "--heads=5"]) == 2
    assert capsys.readouterr().err.startswith("mnemon: a host of dim 1024, 12 layers, 5 heads")
