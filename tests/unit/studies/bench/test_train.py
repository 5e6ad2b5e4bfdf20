import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mnemon.config import Problem
from mnemon.studies import bench_train
from mnemon.studies.bench import train
from mnemon.studies.bench.train import EMPTY, FULL, NONE, PEER, Plan, Training
from tiny import run_config

REMEMBERING = run_config("memorizing", lanes=3)
WITHOUT = run_config("transformer-xl", lanes=3)
Script = Callable[[str], Path]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """A peer that answers what it is told to."""

    def write(code: str) -> Path:
        path = tmp_path / "peer.py"
        path.write_text(code)
        return path

    return write


def benched(**changes: Any) -> dict[str, Any]:
    return bench_train(1, 1, without=WITHOUT, remembering=REMEMBERING, **changes)


def measured(peer_python: Path | None, peer_script: Path) -> dict[str, Any]:
    """The same in this process."""
    return train.measure(Plan(WITHOUT, REMEMBERING, 2, 1, peer_python, peer_script), lambda *_: None)


def test_three_memories_are_compared_and_a_missing_peer_is_said() -> None:
    found = benched()
    assert list(found["models"]) == [NONE, EMPTY, FULL, PEER]
    for name in (NONE, EMPTY, FULL):
        speed = found["models"][name]["tokens_per_second"]
        assert 0 < speed["low"] <= speed["median"] <= speed["high"]
    assert found["tokens_a_step"] == 3 * 16
    assert found["environment"]["threads"] == 1
    assert "make bench-peers" in found["models"][PEER]["missing"]
    assert set(found["ratios"]) == {"full_to_none", "empty_to_none"}


def test_a_peer_makes_one_round_whenever_it_is_asked(script: Script) -> None:
    code = "import json, sys\nshape = json.loads(sys.argv[1])\nprint(json.dumps({'shape': shape}), flush=True)\n"
    code += "for n, _ in enumerate(sys.stdin):\n    print(json.dumps({'seconds': n + 1.0, 'stored': n}), flush=True)\n"
    found = measured(Path(sys.executable), script(code))
    peer = found["models"][PEER]
    assert peer["seconds"] == [1.0, 2.0]
    assert peer["tokens_per_second"] == {"median": 36.0, "low": 24.0, "high": 48.0}
    assert peer["stored"] == 1
    assert peer["shape"]["memory"] == 48
    assert peer["shape"]["cache"] == 16
    assert (peer["shape"]["lanes"], peer["shape"]["segment"], peer["shape"]["top_k"]) == (3, 16, 4)
    pairs = zip([1.0, 2.0], found["models"][FULL]["seconds"], strict=True)
    assert found["ratios"]["peer_to_full"]["high"] == max(a / b for a, b in pairs)


@pytest.mark.parametrize("rounds", [0, 1])
def test_a_peer_that_fails_says_its_last_words_and_the_others_are_measured(script: Script, rounds: int) -> None:
    code = f"import sys\nprint('{{}}', flush=True)\nfor _ in range({rounds}):\n    sys.stdin.readline()\n"
    code += "    print('{\"seconds\": 1}', flush=True)\nraise SystemExit('no more room')\n"
    found = measured(Path(sys.executable), script(code))
    assert found["models"][PEER] == {"missing": "failed: no more room"}
    assert len(found["models"][FULL]["seconds"]) == 2
    assert "peer_to_full" not in found["ratios"]


def test_full_memory_is_full_and_an_empty_one_stays_empty() -> None:
    full, empty = Training(REMEMBERING), Training(REMEMBERING)
    before = {name: weight.clone() for name, weight in full.trainer.model.state_dict().items()}
    full.fill()
    assert all(torch.equal(weight, before[name]) for name, weight in full.trainer.model.state_dict().items())
    empty.forget()
    empty.seconds(2)
    (held,), (none,) = full.trainer.states, empty.trainer.states
    assert held.tensors()["1.knn.store.written"].tolist() == [48, 48, 48]
    assert none.tensors()["1.knn.store.written"].tolist() == [0, 0, 0]
    assert none.tensors()["1.cache.count"].tolist() == [16, 16, 16]


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(Problem, match="at least one of each"):
        bench_train(0, 1)
    with pytest.raises(Problem, match="transformer-xl: has no kNN memory"):
        bench_train(1, 1, remembering=WITHOUT)
