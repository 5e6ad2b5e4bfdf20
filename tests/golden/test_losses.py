"""Tiny runs, replayed: `PYTHONPATH=tests python tests/golden/test_losses.py` writes the curves anew.

A refactor leaves them as they are; a change that moves them says why and by how much.
AdamW: the bfloat16 steps of Muon blow rounding up to 4e-4 within 20 steps, so that its curve shows no more than that.
"""

import json
import tempfile
from pathlib import Path

import pytest

import tiny
from mnemon.train import read_records, train

CURVES = Path(__file__).with_name("losses.json")


def losses(kind: str, folder: Path) -> list[float]:
    config = tiny.run_config(kind, {"dropout": 0.1}, steps=20, optimizer="adamw", checkpoint_every=20, threads=1)
    train(config, folder / kind, tiny.corpus())
    return [record["loss"] for record in read_records(folder / kind)]


@pytest.mark.parametrize("kind", tiny.POOLS)
def test_the_loss_curve_is_the_recorded_one(kind: str, tmp_path: Path) -> None:
    assert losses(kind, tmp_path) == pytest.approx(json.loads(CURVES.read_text())[kind], rel=1e-4)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        curves = {kind: losses(kind, Path(folder)) for kind in tiny.POOLS}
    CURVES.write_text(json.dumps(curves, indent=1) + "\n")
