import shutil
import subprocess
import sys

import pytest

from mnemon.config import Problem
from mnemon.model import ModelConfig
from mnemon.pools import PersistentConfig, PoolsConfig
from mnemon.train.compiled import compile_parts
from models import small

# In a process of its own: here every call is checked for its shapes, which no compiler looks through.
STEPS = """
import torch
from mnemon.data import Batch
from mnemon.model import FeedForwardConfig, ModelConfig
from mnemon.train import TrainConfig, Trainer

torch.set_num_threads(1)
tokens = torch.randint(0, 11, (2, 9), generator=torch.Generator().manual_seed(0))
ones, lengths = torch.ones(2, dtype=torch.bool), torch.full((2,), 8)
zeros = torch.zeros(2, dtype=torch.long)
batch = Batch(tokens[:, :-1], tokens[:, 1:], ones, lengths, ones, zeros, zeros)
config = ModelConfig(
    vocab_size=11, dim=16, n_layers=2, n_heads=2, head_dim=8, segment=8, window=8, feedforward=FeedForwardConfig(dim=24)
)
names = []
for compile in (False, True):
    trainer = Trainer(config.build(), TrainConfig(lanes=2, warmup=1, compile=compile))
    print(*(trainer.advance(batch)["loss"] for _ in range(2)))
    names.append(list(trainer.tensors()["model"]))
assert names[0] == names[1]
assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_training_equals_training() -> None:
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    plain, compiled = ([float(loss) for loss in line.split()] for line in done.stdout.splitlines())
    assert compiled == pytest.approx(plain, rel=1e-5)


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Problem, match="install g\\+\\+"):
        compile_parts(small().build())


def test_a_model_without_feed_forward_layers_has_nothing_to_compile() -> None:
    config: ModelConfig = small(feedforward=None, pools=PoolsConfig(persistent=PersistentConfig(n=3)))
    with pytest.raises(Problem, match="no feed-forward layers"):
        compile_parts(config.build())
