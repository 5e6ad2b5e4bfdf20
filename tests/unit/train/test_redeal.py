from pathlib import Path

import torch

import tiny
from mnemon.data import Lanes
from mnemon.data.byte_tokens import Bytes
from mnemon.train import TrainConfig
from mnemon.train.checkpoint import Checkpoint
from mnemon.train.parts import Part, write_tensors
from mnemon.train.ranks import Ranks
from mnemon.train.redeal import remembered
from mnemon.train.trainer import Trainer


def trained(lanes: int, accumulate: int, rows: slice) -> Trainer:
    """A trainer of some of eight lanes, after 5 steps at a rate that changes nothing."""
    config = TrainConfig(
        lanes=lanes, accumulate=accumulate, lr=1e-30, muon_lr=1e-30, device="cpu", drift_every=9, weight_decay=0.0
    )
    trainer = Trainer(tiny.model("memorizing").build(), config)
    batches = Lanes(tiny.documents(), Bytes(), 8, 16, seed=0)
    for _ in range(5):
        batch = next(batches)
        trainer.advance(type(batch)(**{name: value[rows] for name, value in vars(batch).items()}))
    return trainer


def saved(folder: Path, trainers: list[Trainer]) -> Checkpoint:
    """What so many ranks would have saved."""
    parts: dict[str, list[Part]] = {"memory": [], "history": []}
    for rank, trainer in enumerate(trainers):
        tensors = trainer.tensors()
        for group, found in parts.items():
            write_tensors(folder / f"{group}-{rank}.safetensors", tensors[group])
            found.append(Part(folder / f"{group}-{rank}.safetensors", {}))
    return Checkpoint(folder, parts, {"ranks": len(trainers)})


def test_lanes_keep_what_they_remember_on_other_ranks(tmp_path: Path) -> None:
    for name in ("two", "four"):
        (tmp_path / name).mkdir()
    two = [trained(4, 2, slice(0, 4)), trained(4, 2, slice(4, 8))]
    checkpoint = saved(tmp_path / "two", two)
    four = [trained(2, 2, slice(2 * rank, 2 * rank + 2)) for rank in range(4)]
    for rank, trainer in enumerate(four):
        memory, history, lost = remembered(checkpoint, Ranks(rank, 4), accumulate=2)
        wanted = trainer.tensors()
        assert lost == []
        assert history.keys() == wanted["history"].keys()
        assert all(torch.equal(history[key], wanted["history"][key]) for key in history)
        trainer.load({**wanted, "memory": memory, "history": history}, trainer.values())
        for key, tensor in trainer.tensors()["memory"].items():
            if key.endswith((".count", "position", ".written")):
                assert torch.equal(tensor, wanted["memory"][key]), key
    back, _, _ = remembered(saved(tmp_path / "four", four), Ranks(1, 2), accumulate=2)
    same, _, _ = remembered(checkpoint, Ranks(1, 2), accumulate=2)
    assert back.keys() == same.keys()
    for key in same:
        assert back[key].shape[0] == same[key].shape[0], key
