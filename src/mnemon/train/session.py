from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from mnemon.config import Problem
from mnemon.data import Corpus, Lanes
from mnemon.train.checkpoint import prune, save, saved_steps
from mnemon.train.interrupt import Interrupt
from mnemon.train.metrics import Metrics
from mnemon.train.randomness import random_state, set_random_state
from mnemon.train.trainer import Diverged, Record, Trainer

OnStep = Callable[[Record], None]


class Session:
    """One folder of a training: a trainer, its lanes, and the files they are written to.

    `write`: brings the weights that learn, as they are now, to where whoever uses them looks for them. `faithful`:
    n - 1 losses a segment.
    """

    def __init__(
        self,
        out: Path,
        trainer: Trainer,
        lanes: Lanes,
        corpus: Corpus,
        write: Callable[[Mapping[str, Tensor]], None],
        faithful: bool = False,
    ):
        self.out, self.config, self.trainer, self.corpus = out, trainer.config, trainer, corpus
        self.lanes, self.write_weights, self.faithful = lanes, write, faithful
        self.checkpoints = out / "checkpoints"

    def run(self, on_step: OnStep | None) -> None:
        """Train to the last step; a checkpoint every so many steps, at the end and on Ctrl-C."""
        trainer, config = self.trainer, self.config
        with Interrupt() as interrupt, Metrics(self.out, trainer.step) as metrics:
            while trainer.step < config.steps:
                record = self._advance()
                self._write(metrics, record)
                if on_step is not None:
                    on_step(record)
                if interrupt.asked or trainer.step % config.checkpoint_every == 0 or trainer.step == config.steps:
                    metrics.sync()
                    self.save()
                if interrupt.asked:
                    raise KeyboardInterrupt

    def save(self) -> None:
        """Write a checkpoint and the newest weights; remove the oldest once the new one is whole."""
        trainer = self.trainer
        numbers, python = random_state(trainer.device)
        tensors = trainer.tensors()
        position = {"position": self.lanes.position(), "fingerprint": self.corpus.fingerprint}
        values = {**trainer.values(), "data": position, "random": python}
        save(self.checkpoints, trainer.step, {**tensors, "random": numbers}, values)
        try:
            self.write_weights(tensors["model"])
        except (OSError, SafetensorError) as error:
            raise Problem(f"{self.out / 'model.safetensors'}: cannot be written ({error})") from None
        prune(self.checkpoints, trainer.step, self.config.keep)

    def load(self, tensors: dict[str, Any], values: dict[str, Any], where: str) -> None:
        """Stand where a checkpoint was made."""
        saved = values["data"]
        if saved["fingerprint"] != self.corpus.fingerprint:
            raise Problem(f"{where}: made from other texts than {self.corpus.name} holds now; restore them to continue")
        try:
            self.lanes.seek(saved["position"])
            self.trainer.load(tensors, values)
        except (KeyError, RuntimeError, ValueError) as error:
            first = str(error).splitlines()[0]
            raise Problem(f"{where}: made by another kind of run than the config describes ({first})") from None
        set_random_state(tensors["random"], values["random"], self.trainer.device)

    def _advance(self) -> Record:
        batch = next(self.lanes)
        try:
            return self.trainer.advance(batch.inner() if self.faithful else batch)
        except Diverged as error:
            last = self.checkpoints / f"step-{saved_steps(self.checkpoints)[0]}"
            raise Problem(f"{self.out}: {error}; stopped, {last} is kept: try a lower learning rate") from None

    def _write(self, metrics: Metrics, record: Record) -> None:
        try:
            metrics.write(record)
        except OSError as error:
            raise Problem(f"{self.out / 'metrics.jsonl'}: cannot be written ({error}); make room and resume") from None


def described(corpus: Corpus) -> dict[str, Any]:
    """What a training was given to read, and what was left out."""
    documents = {name: len(corpus.split(name)) for name in ("train", "valid", "test")}
    values = {"name": corpus.name, "fingerprint": corpus.fingerprint}
    return {**values, "documents": documents, "skipped": dict(corpus.skipped)}
