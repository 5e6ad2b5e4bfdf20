import json
from pathlib import Path
from typing import Any

import pytest

from mnemon.cli import bench_train, main
from mnemon.studies.bench.train_shapes import Shape

SPEED = {"median": 2000.0, "low": 1900.0, "high": 2100.0}
FOUND: dict[str, Any] = {
    "shape": "tiny",
    "layers": [4, 4],
    "rounds": 5,
    "steps": 4,
    "tokens_a_step": 1024,
    "models": {
        "no memory": {"tokens_per_second": SPEED, "floor": {"share": 0.5}},
        "peer": {"missing": "not measured: make bench-peers"},
    },
    "ratios": {"full_to_none": {"median": 1.349, "low": 1.3, "high": 1.4}},
    "environment": {"torch": "2.13.0", "threads": 1},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What the study is asked for, which takes its time elsewhere."""
    calls = []

    def fake(shape: Shape, *arguments: object, peer_python: Path, progress: object) -> dict[str, Any]:
        calls.append((shape.name, shape.layers, shape.memories, *arguments, peer_python))
        return FOUND

    monkeypatch.setattr(bench_train, "bench_train", fake)
    return calls


def test_json_is_one_value(asked: list[tuple[object, ...]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "train", "--rounds=2", "--steps=3", "--peer-python=p", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == FOUND
    assert asked == [("tiny", 4, (8192,), 2, 3, 1, Path("p"))]


def test_a_shape_has_memories_layers_and_threads(asked: list[tuple[object, ...]]) -> None:
    assert main(["bench", "train", "--shape=200m", "--memory=64,128", "--layers=3", "--threads=2"]) == 0
    assert asked == [("200m", 3, (64, 128), 5, None, 2, Path(".venv-peers/bin/python"))]


@pytest.mark.usefixtures("asked")
def test_people_get_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "train"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ("training, tiny, 4 of 4 layers, tokens/s, threads: 1, 5 rounds of 4 steps of 1,024 tokens")
    assert [line.split() for line in lines[1:3]] == [
        ["median", "lowest", "highest", "of", "the", "floor"],
        ["no", "memory", "2,000", "1,900", "2,100", "50%"],
    ]
    assert lines[3].split() == ["peer", "not", "measured:", "make", "bench-peers"]
    assert "full to none  1.35  1.30  1.40" in lines
    assert lines[-1] == "torch 2.13.0, threads 1"


@pytest.mark.usefixtures("asked")
def test_a_record_names_its_command(tmp_path: Path) -> None:
    path = tmp_path / "records" / "training-speed.json"
    assert main(["bench", "train", f"--record={path}"]) == 0
    assert json.loads(path.read_text()) == {**FOUND, "command": f"mnemon bench train --record={path}"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "mnemon: WHAT is missing: mnemon bench WHAT [OPTIONS]\n"),
        ("trian", "mnemon: 'trian': no such benchmark (did you mean 'train'?)\n"),
        ("train --steps=0", "mnemon: 5 rounds of 0 steps on 1 threads: at least one of each\n"),
        ("train --shape=smal", "mnemon: 'smal': no such shape (did you mean 'small'?)\n"),
        ("train --shape=small --layers=7", "mnemon: 7 layers: the shape small has 1 to 6\n"),
        ("train --memory=8k", "mnemon: --memory 8k: give whole numbers with commas between, such as 8192,65536\n"),
        ("train --stepps=1", "mnemon: --stepps: unknown flag (did you mean '--steps'?)\n"),
    ],
)
def test_what_does_not_fit_is_one_line(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words.split()]) == 2
    assert capsys.readouterr().err == message
