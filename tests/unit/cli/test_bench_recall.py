import json
from pathlib import Path

import pytest

from mnemon.cli import main

SMALL = ["--size=40,80", "--top-k=4", "--queries=3", "--dim=6"]


def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "recall", "--index=exact bucketed", *SMALL]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 of so many random unit vectors of size 6, 3 queries"
    assert lines[1].split() == ["index", "recall", "40", "ms", "40", "recall", "80", "ms", "80"]
    assert [line.split()[:2] for line in lines[2:]] == [["exact", "1.000"], ["bucketed", "1.000"]]


def test_json_is_one_value_and_a_record_names_its_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "recall.json"
    words = ["bench", "recall", "--index=exact", *SMALL, f"--record={record}", "--json"]
    assert main(words) == 0
    said, kept = json.loads(capsys.readouterr().out), json.loads(record.read_text())
    assert said["indexes"]["exact"]["40"]["recall"] == 1.0
    assert kept == {**said, "command": " ".join(["mnemon", *words])}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--size=many", "mnemon: --size many: give whole numbers with commas between, such as 8192,65536\n"),
        ("--index=exakt", "mnemon: 'exakt': no such index (did you mean 'exact'?)\n"),
        ("--top-k=0", "mnemon: sizes, top_k, queries and dim must each be at least 1\n"),
    ],
)
def test_what_does_not_fit_is_one_line(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "recall", words]) == 2
    assert capsys.readouterr().err == message
