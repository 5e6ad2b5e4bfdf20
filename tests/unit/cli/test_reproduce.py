import json
from pathlib import Path
from typing import Any

import pytest

from mnemon.cli import main, reproduce
from mnemon.studies import GRIDS, TABLES, Asked


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the study was asked for; nothing is run."""
    calls = []

    def study(name: str, out: Path, docs: Path, asked: Asked, progress: Any) -> Path:
        calls.append((name, out, docs, asked))
        return docs / f"{name}.md"

    monkeypatch.setattr(reproduce, "reproduce", study)
    return calls


def test_list_names_every_table_and_what_it_asks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [*GRIDS, *TABLES]
    assert main(["reproduce", "--list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {name: grid.asks for name, grid in GRIDS.items()} | {
        name: table.asks for name, table in TABLES.items()
    }


def test_a_table_is_run_and_its_page_and_record_are_named(
    asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", "demo", "--budget", "5", "--seeds", "2"]) == 0
    assert asked == [("demo", Path("runs/demo"), Path("docs/results"), Asked(5, 2))]
    assert capsys.readouterr().out == "page: docs/results/demo.md\nrecord: docs/results/records/demo.json\n"


def test_runs_of_all_tables_of_models_share_a_folder_and_corpora_are_named(asked: list[tuple[Any, ...]]) -> None:
    words = ["--data", "python-env", "books=some/where", "--scale", "tiny", "--workers", "1", "--steps", "7"]
    assert main(["reproduce", "B-main", *words]) == 0
    data = {"python-env": "python-env", "books": "some/where"}
    wanted = Asked(data=data, scale="tiny", steps=7, workers=1)
    assert asked == [("B-main", Path("runs/cells"), Path("docs/results"), wanted)]


def test_json_names_page_record_and_runs(
    asked: list[tuple[Any, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", "pairing", "--out", str(tmp_path), "--docs", str(tmp_path / "docs"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "page": f"{tmp_path}/docs/pairing.md",
        "record": f"{tmp_path}/docs/records/pairing.json",
        "runs": str(tmp_path),
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "mnemon: TABLE is missing: mnemon reproduce TABLE [OPTIONS]"),
        ("dmo", "mnemon: table 'dmo': no such table (did you mean 'demo'?)"),
        ("demo --budge 1", "mnemon: --budge: unknown flag (did you mean '--budget'?)"),
        ("B-main --data books=", "mnemon: corpus 'books=': give NAME=SOURCE"),
        ("B-main --seeds 0", "mnemon: --seeds 0 --budget 15: at least 1 seed"),
    ],
)
def test_what_does_not_fit_is_one_line(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", *words.split()]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(message)
    assert error.count("\n") == 1
