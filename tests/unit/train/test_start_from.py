"""Fine-tuning: a memory given to a model that had none, and a larger, other or no memory to one that had."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tiny
from mnemon.config import Problem
from mnemon.pools import KNNConfig
from mnemon.train import load_run, read_records, resume, train
from mnemon.train.checkpoint import newest

TOUCHED = {"lr": 1e-9, "steps": 3}  # so little is learnt that a weight stays as it was taken


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a memory of 48 entries in its second layer, whose gate has moved."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    return train(tiny.run_config("memorizing", steps=4, lr=0.02, warmup=0), folder, tiny.corpus())


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def stores(run: Path) -> dict[int, tuple[int, int]]:
    """Slots and entries written of the first lane's memory, by layer."""
    memory = newest(run / "checkpoints").tensors["memory"]
    layers = [int(name.split(".")[1]) for name in memory if name.endswith("store.keys")]
    return {n: (memory[f"0.{n}.knn.store.keys"].shape[2], int(memory[f"0.{n}.knn.store.written"][0])) for n in layers}


def test_a_memory_is_given_to_a_model_that_was_trained_without(tmp_path: Path) -> None:
    first = train(tiny.run_config("transformer-xl", steps=2), tmp_path / "first", tiny.corpus())
    knn = KNNConfig(layers=(0, 1), size=32, top_k=5)
    pools = tiny.POOLS["memorizing"].replace(knn=knn)
    out = train(
        tiny.run_config("memorizing", {"pools": pools}, **TOUCHED), tmp_path / "out", tiny.corpus(), start_from=first
    )
    added = weights(out).keys() - weights(first).keys()
    assert added == {"blocks.0.attention.gate", "blocks.1.attention.gate"}
    assert all(float(weights(out)[name].abs().max()) < 1e-6 for name in added), "gates keep their start values"
    assert stores(out).keys() == {0, 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 262_144},
        {"size": 4096, "top_k": 11},
        {"size": 16},
        {"index": "bucketed"},
        {"merge": "joint"},
        {"layers": (0,)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_memory_of_a_run_may_be_another_in_the_next(
    remembering: Path, changes: dict[str, Any], tmp_path: Path
) -> None:
    pools = tiny.POOLS["memorizing"].replace(knn=tiny.KNN.replace(**changes))
    out = train(
        tiny.run_config("memorizing", {"pools": pools}, **TOUCHED),
        tmp_path / "out",
        tiny.corpus(),
        start_from=remembering,
    )
    before, after = weights(remembering), weights(out)
    gates = {name for name in after if name.endswith("gate")}
    assert gates == ({f"blocks.{n}.attention.gate" for n in pools.knn.layers} if pools.knn.merge == "gated" else set())
    for name, tensor in after.items():
        start = before.get(name, torch.zeros_like(tensor))
        torch.testing.assert_close(tensor, start, atol=1e-6, rtol=0)
    assert any(float(before[name].abs().max()) > 1e-3 for name in before if name.endswith("gate"))
    ((slots, written),) = stores(out).values()
    assert written > 0
    assert slots == min(pools.knn.size, 1024), "no more is allocated than was needed"
    assert len(read_records(resume(out, tiny.corpus(), steps=4))) == 4
    assert load_run(out).config.model.pools.knn == pools.knn


def test_a_memory_may_be_taken_away(remembering: Path, tmp_path: Path) -> None:
    out = train(tiny.run_config("transformer-xl", **TOUCHED), tmp_path / "out", tiny.corpus(), start_from=remembering)
    assert weights(remembering).keys() - weights(out).keys() == {"blocks.1.attention.gate"}


def test_a_folder_that_is_no_run_is_a_problem(remembering: Path, tmp_path: Path) -> None:
    for folder, said in ((tmp_path / "none", "no such file|no such run folder"), (tmp_path, "no such file")):
        with pytest.raises(Problem, match=said):
            train(tiny.run_config(**TOUCHED), tmp_path / "out", tiny.corpus(), start_from=folder)
    assert not (tmp_path / "out").exists()


def test_where_asked_a_layer_that_gets_a_memory_starts_with_equal_projections(
    remembering: Path, tmp_path: Path
) -> None:
    pools = tiny.POOLS["memorizing"].replace(knn=KNNConfig(layers=(0, 1), size=32, top_k=5))
    config = tiny.run_config("memorizing", {"pools": pools}, **TOUCHED).replace(model__attention__equal_start=True)
    out = train(config, tmp_path / "out", tiny.corpus(), start_from=remembering)
    before, after = weights(remembering), weights(out)

    def apart(name: str) -> float:
        return float((after[f"blocks.{name}.weight"] - before[f"blocks.{name}.weight"]).abs().max())

    assert apart("0.attention.q") < 1e-6
    queries, keys = (after[f"blocks.0.attention.{name}.weight"] for name in "qk")
    assert float((queries - keys).abs().max()) < 1e-6, "the first layer's memory is new"
    assert apart("0.attention.k") > 0.01
    assert apart("1.attention.k") < 1e-6, "the second layer had one already"
