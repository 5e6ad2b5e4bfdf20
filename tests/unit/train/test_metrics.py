import json
import os
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.train import read_records, tensorboard
from mnemon.train.metrics import Metrics, kept


def lines(n: int) -> bytes:
    return b"".join(json.dumps({"step": step, "loss": 1 / step}).encode() + b"\n" for step in range(1, n + 1))


def test_lines_after_the_checkpoint_are_dropped() -> None:
    assert "".join(kept(lines(7), 4)).encode() == lines(4)


@pytest.mark.parametrize("torn", [b'{"step": 5, "lo', b'{"step": 5', b"\xff\xfe", b"[]", b"5", b'{"loss": 1}', b"\n"])
def test_a_torn_last_line_is_dropped(torn: bytes) -> None:
    assert "".join(kept(lines(4) + torn, 9)).encode() == lines(4)


def test_records_are_read_back_without_a_torn_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(lines(3) + b'{"step": 4')
    assert [record["step"] for record in read_records(tmp_path)] == [1, 2, 3]
    with pytest.raises(Problem, match="no such file; is this a run folder"):
        read_records(tmp_path / "elsewhere")


def test_every_line_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with Metrics(tmp_path, 0) as metrics:
        for step in range(1, 4):
            metrics.write({"step": step, "loss": 0.1 + 0.2})
            read = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
            assert read[-1] == {"step": step, "loss": 0.30000000000000004}
            assert len(read) == step


def test_a_line_that_is_no_json_is_refused(tmp_path: Path) -> None:
    with Metrics(tmp_path, 0) as metrics, pytest.raises(ValueError, match="not JSON compliant"):
        metrics.write({"step": 1, "loss": float("nan")})


def test_tensorboard_events_are_written_where_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with Metrics(tmp_path, 0) as metrics:
        metrics.write({"step": 1, "loss": 1.0})
        metrics.sync()
    assert [path.name.split(".")[0] for path in (tmp_path / "tensorboard").iterdir()] == ["events"]


def test_without_tensorboard_there_are_no_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard.importlib.util, "find_spec", lambda name: None)
    with Metrics(tmp_path, 0) as metrics:
        metrics.write({"step": 1, "loss": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize("call", ["makedirs", "fsync"])
def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*words: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with (
        pytest.raises(Problem, match=r"cannot be written \(No space left on device\)"),
        Metrics(tmp_path, 0) as metrics,
    ):
        metrics.sync()
