import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from mnemon.config import Problem
from mnemon.data import Corpus, Lanes
from mnemon.train.checkpoint import Checkpoint, load, prune, save, saved_steps
from mnemon.train.interrupt import Interrupt
from mnemon.train.metrics import Metrics
from mnemon.train.randomness import random_state, set_random_state
from mnemon.train.ranks import Agreed
from mnemon.train.redeal import remembered
from mnemon.train.saving import Saver
from mnemon.train.trainer import Diverged, Record, Trainer
from mnemon.train.validation import validate

OnStep = Callable[[Record], None]


class Session:
    """One folder of a training: a trainer, its lanes, and the files they are written to.

    `write`: brings the weights that learn, as they are now, to where whoever uses them looks for them. `faithful`:
    n - 1 losses a segment. `valid`: lanes of the documents that the loss is looked at in between. Of several ranks the
    first writes what there is once.
    """

    def __init__(
        self,
        out: Path,
        trainer: Trainer,
        lanes: Lanes,
        corpus: Corpus,
        write: Callable[[Mapping[str, Tensor]], None],
        faithful: bool = False,
        valid: Callable[[], Lanes] | None = None,
    ):
        self.out, self.config, self.trainer, self.corpus = out, trainer.config, trainer, corpus
        self.lanes, self.write_weights, self.faithful, self.valid = lanes, write, faithful, valid
        self.checkpoints = out / "checkpoints"
        self.ranks = trainer.ranks
        self._saver = Saver(self.config.save_beside)
        # What saves beside the training talks beside it too.
        self._saving = self.ranks.aside() if self.config.save_beside else self.ranks

    def run(self, on_step: OnStep | None) -> None:
        """Train to the last step; a checkpoint every so many steps, at the end, on Ctrl-C and on SIGTERM."""
        trainer, config = self.trainer, self.config
        writes = self.ranks.first
        with Interrupt() as interrupt, Metrics(self.out, trainer.step, writes) as metrics, self._saver:
            while trainer.step < config.steps:
                record = self._advance()
                self._write(metrics, record)
                if on_step is not None:
                    on_step(record)
                stop = self.ranks.any(interrupt.asked)
                if stop or trainer.step % config.checkpoint_every == 0 or trainer.step == config.steps:
                    metrics.sync()
                    self.save()
                if stop:
                    self._saver.wait()
                    raise KeyboardInterrupt

    def begin(self) -> None:
        """Write the first checkpoint; it is on the disk when this returns, whatever saves the later ones."""
        self.save()
        self._saver.wait()

    def save(self) -> None:
        """Write a checkpoint and the newest weights; remove the oldest once the new one is whole."""
        trainer = self.trainer
        numbers, python = random_state(trainer.device)
        tensors = {**trainer.tensors(), "random": numbers}
        position = {"position": self.lanes.position(), "fingerprint": self.corpus.fingerprint}
        values = {**trainer.values(), "data": position, "random": python}
        step, places = trainer.step, trainer.engine.places()
        if self.config.save_beside:
            tensors = {
                group: {n: t.detach().cpu().clone() for n, t in named.items()} for group, named in tensors.items()
            }
        self._saver.run(lambda: self._save(step, tensors, values, places))

    def _save(self, step: int, tensors: Any, values: dict[str, Any], places: Any) -> None:
        path = save(self.checkpoints, step, tensors, values, self._saving, places)
        with self._saving.together():
            if not self._saving.first:
                return
            try:
                # Of shares that lie on all ranks, the whole is what they have just written.
                self.write_weights(load(path, slice(0)).tensors["model"] if places else tensors["model"])
            except (OSError, SafetensorError) as error:
                raise Problem(f"{self.out / 'model.safetensors'}: cannot be written ({error})") from None
            prune(self.checkpoints, step, self.config.keep)

    def load(self, checkpoint: Checkpoint) -> None:
        """Stand where a checkpoint was made, on as many ranks as then or on others."""
        values, where, ranks = checkpoint.values, str(checkpoint.path), self.ranks
        saved = values["data"]
        if saved["fingerprint"] != self.corpus.fingerprint:
            raise Problem(f"{where}: made from other texts than {self.corpus.name} holds now; restore them to continue")
        try:
            self.lanes.seek(saved["position"])
            memory, history, lost = remembered(checkpoint, ranks, self.config.accumulate)
            self.trainer.load({**checkpoint.tensors, "memory": memory, "history": history}, values)
        except (KeyError, RuntimeError, ValueError) as error:
            first = str(error).splitlines()[0]
            raise Problem(f"{where}: made by another kind of run than the config describes ({first})") from None
        drawn = checkpoint.parts["random"]
        if ranks.rank < len(drawn):  # a rank that was not there then goes on with its own seed
            set_random_state(drawn[ranks.rank], values["random"], self.trainer.device)
        if checkpoint.ranks != ranks.size and ranks.first:
            kept = "every lane keeps its document and what it remembers, dropout draws other numbers"
            if lost:
                kept += f"; memories that cannot be dealt anew begin empty: {', '.join(sorted(set(lost)))}"
            warnings.warn(f"{where}: made by {checkpoint.ranks} ranks, now {ranks.size}: {kept}", stacklevel=2)

    def _advance(self) -> Record:
        batch = next(self.lanes)
        try:
            record = self.trainer.advance(batch.inner() if self.faithful else batch)
        except Diverged as error:
            last = self.checkpoints / f"step-{saved_steps(self.checkpoints)[0]}"
            raise Agreed(f"{self.out}: {error}; stopped, {last} is kept: try a lower learning rate") from None
        if self.valid is not None and self.trainer.step % (self.config.valid_every or 1) == 0:
            record["valid_loss"] = validate(self.trainer, self.valid(), self.config.valid_batches)
        return record

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
