import json
from pathlib import Path

import pytest

from mnemon.cli import main
from mnemon.data import NAMED


def test_every_known_data_set_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in listed] == list(NAMED)
    assert {each["name"] for each in listed if each["fetched"]} == {"enwik8", "text8", "wikitext-103", "pg-19", "c4-4k"}
    assert main(["data", "list"]) == 0
    said = capsys.readouterr().out
    assert all(each["licence"] in said and each["origin"] in said for each in listed)


def test_a_check_shows_what_a_copy_holds_and_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "valid.txt").write_text(" = A = \n")
    source = f"wikitext-103:{tmp_path}"
    assert main(["data", "check", source, "--json"]) == 2
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["name"], found["complete"]) == ("wikitext-103-partial", False)
    assert found["splits"]["valid"] == {"documents": 1, "bytes": 8}
    assert found["checks"][1] == {"what": "valid tokens", "found": 4, "expected": 217_646, "ok": False}
    assert said.err.startswith(f"mnemon: {source}: not the whole (train tokens 0 of 103,227,021, ")
    assert main(["data", "check", source]) == 2
    assert "no  valid tokens 4 of 217,646" in capsys.readouterr().out


def test_texts_without_checks_are_shown_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in {"a.tex": b"Lemma", "b.tex": b"\xff"}.items():
        (tmp_path / name).write_bytes(text)
    assert main(["data", "check", f"arxiv-math:{tmp_path}"]) == 0
    assert capsys.readouterr().out.endswith("nothing is known to check; skipped 1 not UTF-8\n")
    assert main(["data", "check", f"arxiv-math:{tmp_path}", "--strict"]) == 2
    assert "not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("data", "WHAT is missing"),
        ("data chek", "'chek': no such command (did you mean 'check'?)"),
        ("data check", "SOURCE|source|STR"),
        ("data check text8", "text8: give your copy as --data text8:PATH, or --download"),
        ("data check isabelle --download", "there is no copy to download"),
        ("data check text8:gone", "gone: no such file or folder"),
        ("data check text8 --document chapter", "document: Input should be 'file' or 'folder'"),
    ],
)
def test_bad_input_is_one_line(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert any(each in error for each in said.split("|"))
    assert len(error.splitlines()) == 1
