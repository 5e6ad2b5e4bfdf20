from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mnemon.config import Problem, write_json
from mnemon.data import Corpus, Lanes, Tokenizer, load_corpus, load_tokenizer, make_tokenizer
from mnemon.model import ModelConfig, Transformer
from mnemon.train.checkpoint import newest, prune, save, saved_steps
from mnemon.train.config import RunConfig, dealt
from mnemon.train.interrupt import Interrupt
from mnemon.train.metrics import Metrics
from mnemon.train.randomness import random_state, seeded, set_random_state
from mnemon.train.run import (
    ADDED,
    DROPPED,
    pick_device,
    read_config,
    remove_torn,
    take_weights,
    write_config,
    write_weights,
)
from mnemon.train.trainer import Diverged, Record, Trainer

OnStep = Callable[[Record], None]


def train(
    config: RunConfig,
    out: Path | str,
    corpus: Corpus | None = None,
    tokenizer: Tokenizer | None = None,
    on_step: OnStep | None = None,
    start_from: Path | str | None = None,
) -> Path:
    """Train a model into the run folder `out`, which must be new or empty.

    `start_from`: a run whose weights, by name, and tokenizer the new one begins with; a gate, span or persistent
    vectors that it lacks keep their start values, and gates of layers that have no memory any more are left behind.
    Memory size, `top_k` and layers may thus be others. Ctrl-C saves a checkpoint after the current step.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Problem(f"{out}: already there; choose another folder, or continue that run with --resume")
    # A folder that is no run says so before anything is read.
    before = None if start_from is None else read_config(Path(start_from))
    device = pick_device(config.train.device)
    corpus = load_corpus(config.data.source, config.data) if corpus is None else corpus
    tokenizer = _tokenizer(config, corpus, tokenizer, start_from)
    config = _resolved(config, tokenizer)
    with seeded(config.train.seed, device, config.train.threads):
        model = config.model.build(config.train.seed)
        if start_from is not None and before is not None:
            take_weights(model, Path(start_from) / "model.safetensors", ADDED, DROPPED)
            _begin_memories(model, config.model, before.model)
        session = _Session(out, config, Trainer(model.to(device), config.train), corpus, tokenizer)
        out.mkdir(parents=True, exist_ok=True)
        tokenizer.save(out / "tokenizer.json")
        write_json(out / "corpus.json", _described(corpus))
        session.save()
        write_config(out, config)  # last: a folder with a config can be resumed
        session.run(on_step)
    return out


def resume(
    out: Path | str,
    corpus: Corpus | None = None,
    on_step: OnStep | None = None,
    steps: int | None = None,
) -> Path:
    """Continue a run from its newest checkpoint, to the loss values it would have had without the interruption.

    `steps`: train to this step instead of the one in its config.
    """
    out = Path(out)
    config = read_config(out)
    if steps is not None:
        config = config.replace(train__steps=steps)
    device = pick_device(config.train.device)
    tokenizer = load_tokenizer(out / "tokenizer.json")
    checkpoint = newest(out / "checkpoints")
    done = checkpoint.values["step"]
    if done > config.train.steps:
        raise Problem(f"{out}: already trained for {done} steps, more than {config.train.steps}")
    corpus = load_corpus(config.data.source, config.data) if corpus is None else corpus
    with seeded(config.train.seed, device, config.train.threads):
        model = config.model.build(config.train.seed).to(device)
        session = _Session(out, config, Trainer(model, config.train), corpus, tokenizer)
        session.load(checkpoint.tensors, checkpoint.values, str(checkpoint.path))
        remove_torn(out)
        write_config(out, config)
        session.run(on_step)
    return out


def _tokenizer(
    config: RunConfig, corpus: Corpus, tokenizer: Tokenizer | None, start_from: Path | str | None
) -> Tokenizer:
    """The one given, that of the run begun from, or a new one; the first two must not differ."""
    if start_from is None:
        return make_tokenizer(config.data, corpus.train) if tokenizer is None else tokenizer
    taken = load_tokenizer(Path(start_from) / "tokenizer.json")
    if tokenizer is not None and tokenizer.values() != taken.values():
        raise Problem(f"{start_from}: its weights belong to another tokenizer; leave the tokenizer out")
    return taken


def _begin_memories(model: Transformer, config: ModelConfig, before: ModelConfig) -> None:
    """Layers that the run begun from had no memory in start with equal projections, where the config asks for that."""
    had, have = (set() if each.pools.knn is None else set(each.pools.knn.layers) for each in (before, config))
    for layer in sorted(have - had) if config.attention.equal_start else ():
        model.layers[layer].attention.equalise()


def _described(corpus: Corpus) -> dict[str, Any]:
    """What a run was given to read, and what was left out."""
    documents = {name: len(corpus.split(name)) for name in ("train", "valid", "test")}
    values = {"name": corpus.name, "fingerprint": corpus.fingerprint}
    return {**values, "documents": documents, "skipped": dict(corpus.skipped)}


def _resolved(config: RunConfig, tokenizer: Tokenizer) -> RunConfig:
    """The config with vocabulary, segment and lanes filled in."""
    vocabulary = config.model.vocab_size or tokenizer.vocab_size
    if vocabulary < tokenizer.vocab_size:
        raise Problem(
            f"model.vocab_size {vocabulary}: the tokenizer has {tokenizer.vocab_size}; 0 takes the tokenizer's"
        )
    train = dealt(config.train, config.model.segment)
    return config.replace(model__vocab_size=vocabulary, model__segment=train.segment, train=train)


class _Session:
    """One run folder being trained: a trainer, its lanes, and the files they are written to."""

    def __init__(self, out: Path, config: RunConfig, trainer: Trainer, corpus: Corpus, tokenizer: Tokenizer):
        self.out, self.config, self.trainer, self.corpus = out, config.train, trainer, corpus
        self.faithful = config.model.faithful
        train = config.train
        self.lanes = Lanes(corpus.train, tokenizer, train.lanes, config.model.segment, train.seed, part=train.part)
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
            write_weights(self.out, tensors["model"])
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
