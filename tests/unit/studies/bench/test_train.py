import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mnemon.config import Problem
from mnemon.studies import bench_train
from mnemon.studies.bench import train
from mnemon.studies.bench.train import EMPTY, NONE, PEER, SHALLOW, Plan, holding
from mnemon.studies.bench.train_shapes import SHAPES, find_shape, shape_of
from mnemon.studies.bench.training import Training
from tiny import run_config

REMEMBERING = run_config("memorizing", lanes=3)
WITHOUT = run_config("transformer-xl", lanes=3)
SHAPE = shape_of("tiny", WITHOUT, REMEMBERING, (48, 64), steps=1, empties=True)
FULL, LARGER = holding(48), holding(64)
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
    return bench_train(SHAPE, 1, **changes)


def measured(peer_python: Path | None, peer_script: Path) -> dict[str, Any]:
    """The same in this process."""
    return train.measure(Plan(SHAPE, 2, 1, 1, peer_python, peer_script), lambda *_: None)


def test_three_memories_are_compared_and_a_missing_peer_is_said() -> None:
    found = benched()
    assert list(found["models"]) == [NONE, EMPTY, FULL, LARGER, PEER]
    for name in (NONE, EMPTY, FULL, LARGER):
        speed, floor = (found["models"][name][what] for what in ("tokens_per_second", "floor"))
        assert 0 < speed["low"] <= speed["median"] <= speed["high"]
        assert floor["seconds"] == pytest.approx(sum(floor["pieces"].values()))
        assert ("search" in floor["pieces"]) == (name in (FULL, LARGER))
    assert found["tokens_a_step"] == 3 * 16
    assert found["environment"]["threads"] == 1
    assert "make bench-peers" in found["models"][PEER]["missing"]
    assert set(found["ratios"]) == {f"{name} to none" for name in (EMPTY, FULL, LARGER)}


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
    assert found["ratios"][f"peer to {FULL}"]["high"] == max(a / b for a, b in pairs)


@pytest.mark.parametrize("rounds", [0, 1])
def test_a_peer_that_fails_says_its_last_words_and_the_others_are_measured(script: Script, rounds: int) -> None:
    code = f"import sys\nprint('{{}}', flush=True)\nfor _ in range({rounds}):\n    sys.stdin.readline()\n"
    code += "    print('{\"seconds\": 1}', flush=True)\nraise SystemExit('no more room')\n"
    found = measured(Path(sys.executable), script(code))
    assert found["models"][PEER] == {"missing": "failed: no more room"}
    assert len(found["models"][FULL]["seconds"]) == 2
    assert f"peer to {FULL}" not in found["ratios"]


def test_full_memory_is_full_and_an_empty_one_stays_empty() -> None:
    full = Training(REMEMBERING)
    empty = Training(REMEMBERING, full)
    before = {name: weight.clone() for name, weight in full.trainer.model.state_dict().items()}
    full.fill()
    assert all(torch.equal(weight, before[name]) for name, weight in full.trainer.model.state_dict().items())
    empty.forget()
    for _ in range(2):
        empty.seconds(1)
        full.seconds(1)
    assert empty.trainer.step == 4, "they share their weights"
    (held,), (none,) = full.states, empty.states
    assert held.tensors()["1.knn.store.written"].tolist() == [48 + 32] * 3
    assert none.tensors()["1.knn.store.written"].tolist() == [0, 0, 0]
    assert none.tensors()["1.cache.count"].tolist() == [16, 16, 16]


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_differ_by_the_memory_alone(name: str) -> None:
    shape = find_shape(name)
    for size in shape.memories:
        with_it = shape.memory(size).model
        assert with_it.pools.knn is not None
        assert with_it.pools.knn.size == size
        pools = with_it.pools.replace(knn=None)
        assert with_it.replace(pools=pools, attention=shape.without.model.attention) == shape.without.model
        assert shape.memory(size).train == shape.without.train


def test_of_some_layers_all_are_told() -> None:
    shape = find_shape("200m", 3, (64,))
    assert (shape.layers, shape.whole, shape.memories) == (3, 12, (64,))
    knn = shape.remembering.model.pools.knn
    assert knn is not None
    assert knn.layers == (2,)
    clocks = {NONE: [5.0, 5.0], SHALLOW: [3.0, 1.0], holding(64): [7.0, 9.0]}
    found = train.compared(shape, clocks, clocks)
    assert found["memory of 64 to none"]["median"] == 1.6
    told = found["memory of 64 to none, all 12 layers told"]  # a layer takes 1 and 2 seconds, nine more 9 and 18
    assert (told["low"], told["high"]) == (16 / 14, 27 / 23)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(Problem, match="at least one of each"):
        bench_train(SHAPE, 0)
    with pytest.raises(Problem, match="transformer-xl: has no kNN memory"):
        shape_of("tiny", WITHOUT, WITHOUT, (48,), 1)
