import json
import os
from pathlib import Path

import pytest

from mnemon.config import Problem, read_json, replacing, write_json, write_text


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    value = {"step": 3, "loss": 0.1 + 0.2, "text": "é\n", "none": None, "list": [1, 2]}
    path = tmp_path / "new" / "folder" / "value.json"
    write_json(path, value)
    assert read_json(path) == value
    assert path.read_text(encoding="utf-8").endswith("}\n")


def test_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="half way"), replacing(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_while_flushing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "value.json"
    write_text(path, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Problem, match=r"value.json: cannot be written \(No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_text(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
    assert path.read_text() == "new"


def test_a_new_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    write_text(tmp_path / "ours", "text")
    assert (tmp_path / "ours").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_values_that_are_not_json_are_refused_before_anything_is_written(tmp_path: Path, value: object) -> None:
    path = tmp_path / "value.json"
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe\x00", b"nothing"])
def test_damaged_file_is_a_problem_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(Problem, match=r"value\.json: cannot be read as JSON"):
        read_json(path)


def test_missing_file_and_folder_are_problems(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no such file"):
        read_json(tmp_path / "absent.json")
    with pytest.raises(Problem, match="cannot be read as JSON"):
        read_json(tmp_path)


def test_floats_survive_to_the_last_bit(tmp_path: Path) -> None:
    values = [1 / 3, 1e-310, 2**53 + 0.0]
    write_json(tmp_path / "f.json", values)
    assert json.loads((tmp_path / "f.json").read_text()) == values
