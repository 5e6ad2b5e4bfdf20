from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist

import tiny
from mnemon.data import Lanes
from mnemon.data.byte_tokens import Bytes
from mnemon.train import OPTIMIZERS, TrainConfig
from mnemon.train.engine import Whole
from mnemon.train.optimizers import make_optimizers
from mnemon.train.ranks import ALONE
from mnemon.train.sharded import Sharded
from mnemon.train.trainer import Trainer


@pytest.fixture(scope="module", autouse=True)
def group() -> Iterator[None]:
    """A group of one rank; `tests/ranks` has two."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def trainers(monkeypatch: pytest.MonkeyPatch, kind: str, **settings: Any) -> list[Trainer]:
    """One with whole weights, one with shares."""
    config = TrainConfig(steps=8, warmup=2, lanes=4, device="cpu", **settings)
    found = [Trainer(tiny.model(kind).build(), config)]
    monkeypatch.setattr(
        "mnemon.train.trainer.make_engine",
        lambda model, config, ranks: Sharded(model, lambda m: make_optimizers(m, config), ranks),
    )
    return [*found, Trainer(tiny.model(kind).build(), config)]


def run(trainer: Trainer, lanes: Lanes, steps: int) -> list[float]:
    records = [trainer.advance(next(lanes)) for _ in range(steps)]
    return [record[name] for record in records for name in ("loss", "gradient_norm")]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["all-attention", "memorizing-all-attention"])
def test_shares_train_as_whole_weights_do_and_are_saved_as_such(
    monkeypatch: pytest.MonkeyPatch, kind: str, optimizer: str
) -> None:
    whole, shared = trainers(monkeypatch, kind, optimizer=optimizer, accumulate=2, lr=0.01, clip=0.5)
    assert isinstance(whole.engine, Whole)
    lanes = [Lanes(tiny.documents(), Bytes(), 4, 16, 0) for _ in range(2)]
    expected, found = (run(trainer, each, 4) for trainer, each in zip((whole, shared), lanes, strict=True))
    assert found == pytest.approx(expected, rel=1e-5)
    tensors, places = shared.tensors(), shared.engine.places()
    for group in ("model", "optimizer"):
        assert tensors[group].keys() == whole.tensors()[group].keys()
        for name, tensor in whole.tensors()[group].items():
            if name in places:
                assert places[name] == (0, len(tensor))
    other = trainers(monkeypatch, kind, optimizer=optimizer, accumulate=2, lr=0.01, clip=0.5)[1]
    kept = {group: {n: t.clone() for n, t in named.items()} for group, named in whole.tensors().items()}
    other.load(kept, whole.values())
    assert run(other, lanes[1], 3) == pytest.approx(run(whole, lanes[0], 3), rel=1e-5)


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _, shared = trainers(monkeypatch, "memorizing")
    weights = dict(shared.tensors()["model"])
    with pytest.raises(ValueError, match=r"norm.weight is"):
        shared.engine.load({**weights, "norm.weight": torch.ones(3)}, {})
    weights.pop("norm.weight")
    with pytest.raises(ValueError, match="other weights learn there"):
        shared.engine.load(weights, {})


def test_a_gradient_that_is_no_number_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _, shared = trainers(monkeypatch, "memorizing")
    before = {name: tensor.clone() for name, tensor in shared.tensors()["model"].items()}
    shared.engine.zero_grad()
    assert float(shared.engine.clip(1.0)) == 0.0
    shared.engine.zero_grad()
    assert all(torch.equal(tensor, before[name]) for name, tensor in shared.tensors()["model"].items())
    assert shared.ranks is ALONE
