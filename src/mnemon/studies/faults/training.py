"""Training that is struck: a model of a few thousand parameters with a memory, and a checkpoint every other step."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mnemon.data import Corpus, DataConfig, Document
from mnemon.model import FeedForwardConfig, ModelConfig
from mnemon.pools import CacheConfig, KNNConfig, PoolsConfig
from mnemon.studies.faults.texts import text
from mnemon.train import Record, RunConfig, TrainConfig, read_records, resume, train

STEPS = 12
Step = tuple[float, float, float]


def config(beside: bool) -> RunConfig:
    """A run of some tenths of a second, whose checkpoints are written while it goes on if `beside`."""
    pools = PoolsConfig(cache=CacheConfig(stores="kv"), knn=KNNConfig(layers=(1,), size=48, top_k=4))
    shape = ModelConfig(
        dim=16,
        n_layers=2,
        n_heads=2,
        head_dim=8,
        segment=16,
        window=16,
        pools=pools,
        feedforward=FeedForwardConfig(dim=24),
    )
    train = TrainConfig(
        steps=STEPS, lanes=4, warmup=3, checkpoint_every=2, optimizer="adamw", device="cpu", save_beside=beside
    )
    return RunConfig(recipe="memorizing-tiny", model=shape, data=DataConfig(tokenizer="bytes"), train=train)


def corpus() -> Corpus:
    """A few notes."""
    documents = [Document(f"d{number}", text(number)) for number in range(8)]
    return Corpus("notes", documents, documents[:2], documents[:2], {}, "0")


def run(place: Path, done: Callable[[int], None], beside: bool = False) -> None:
    """Train in `place`/run, or go on where that stopped; a run that was never begun is begun anew."""

    def told(record: Record) -> None:
        done(int(record["step"]))

    if (place / "run" / "config.json").exists():
        resume(place / "run", corpus(), told)
        return
    if (place / "run").exists():
        shutil.rmtree(place / "run")
    train(config(beside), place / "run", corpus(), on_step=told)


# By name: what is struck, and done again until it ends.
TRAININGS: dict[str, Callable[[Path, Callable[[int], None]], None]] = {
    "train": run,
    "train and save beside": partial(run, beside=True),
}


def losses(place: Path) -> list[Step]:
    """Step, loss and norm of the gradient, to the last bit."""
    return [(record["step"], record["loss"], record["gradient_norm"]) for record in read_records(place / "run")]
