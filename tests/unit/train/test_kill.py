import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mnemon.train import read_records

# Each step is said before the next begins; a checkpoint a step, so that most of the time is spent on saving.
TRAINING = """
import sys, tiny
from mnemon.train import resume, train
config = tiny.run_config("memorizing", {"dropout": 0.1}, steps=30, checkpoint_every=int(sys.argv[3]), optimizer="muon")
said = lambda record: print(record["step"], flush=True)
if sys.argv[1] == "train":
    train(config, sys.argv[2], tiny.corpus(), on_step=said)
else:
    resume(sys.argv[2], tiny.corpus(), on_step=said)
"""
TESTS = Path(__file__).parents[2]


def run(command: str, out: Path, every: int, kill_at: int | None = None) -> None:
    """Train in a process of its own; with `kill_at`, kill it without warning once it has said that step."""
    words = [sys.executable, "-W", "ignore", "-c", TRAINING, command, str(out), str(every)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if kill_at is not None and int(line) >= kill_at:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == (0 if kill_at is None else -signal.SIGKILL)


@pytest.mark.parametrize("every", [1, 4])
def test_after_kill_9_the_remaining_losses_are_those_of_a_run_never_interrupted(tmp_path: Path, every: int) -> None:
    run("train", tmp_path / "whole", every)
    run("train", tmp_path / "cut", every, kill_at=6)
    run("resume", tmp_path / "cut", every, kill_at=17)
    run("resume", tmp_path / "cut", every)
    whole, cut = (
        [(record["step"], record["loss"], record["gradient_norm"]) for record in read_records(tmp_path / name)]
        for name in ("whole", "cut")
    )
    assert cut == whole
    assert [step for step, *_ in whole] == list(range(1, 31))
    left = [path.name for path in [*(tmp_path / "cut").iterdir(), *(tmp_path / "cut" / "checkpoints").iterdir()]]
    assert [name for name in left if name.startswith(".")] == []
