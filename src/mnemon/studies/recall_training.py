"""A small decoder that is trained to recall, from nothing, with its memory live."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW

from mnemon.config import Config, Problem, read_json, write_json
from mnemon.data import Document
from mnemon.evaluate import TASKS, Haystack, Writer
from mnemon.evaluate.recall_tasks import mixed
from mnemon.hosts import Memory, MemoryConfig, attach
from mnemon.hosts.fingerprint import OWN
from mnemon.hosts.folder import load_host, save_host
from mnemon.hosts.small import SmallConfig, alike, small_decoder, small_tokenizer
from mnemon.hosts.together import Together
from mnemon.studies.recall_lessons import IGNORED, Lesson, lesson
from mnemon.studies.workers import Progress
from mnemon.train import checkpoint

SAVED = 100  # steps between checkpoints
NOTED = 25  # steps whose means make one line of the history
SAMPLE = 20_000  # characters of a document that the tokenizer learns from
SAMPLES = 150
LESSONS = {"mixed": mixed, **TASKS}


class RecallConfig(Config):
    """How the model is made: its shape, its memory, and `steps` steps of `sets` memories with `questions` each.

    `task`: what is taught, `mixed` or one of `TASKS`. `sharpness` as in `alike`; `slope`: where each head's log2(age)
    bias starts. `lengths`: documents of a memory together have FACTOR windows of tokens for so many STEPS, the last to
    the end. `others`: weight of the loss of tokens that are no answers.
    """

    host: SmallConfig = SmallConfig()
    memory: MemoryConfig = MemoryConfig(
        positions="none",
        layers=(2,),
        merge="gated",
        gate=0.75,
        age=True,
        value="next",
        segment=64,
        overlap=24,
        size=65_536,
        top_k=32,
    )
    task: str = "mixed"
    sharpness: float = 10.0
    slope: float = -1.0
    lengths: tuple[tuple[int, int], ...] = ((2, 40), (4, 100), (8, 260), (16, 1))
    steps: int = 1000
    sets: int = 6
    questions: int = 24
    lr: float = 3e-3
    others: float = 0.1
    seed: int = 0

    def factor(self, step: int) -> int:
        """Windows that the documents of a memory have at this step."""
        for factor, steps in self.lengths:
            if step < steps:
                return factor
            step -= steps
        return self.lengths[-1][0]

    def rate(self, step: int) -> float:
        """The share of the learning rate: up over 30 steps, down to a fiftieth over the last two fifths."""
        down = (self.steps - step) / (0.4 * self.steps)
        return min(1.0, (step + 1) / 30) * min(1.0, max(0.02, down))


@dataclass(frozen=True)
class Taught:
    """A trained model, and its history: step, factor, mean loss and share of answers that were right."""

    memory: Memory
    history: list[dict[str, float]]
    seconds: float


def teach(folder: Path, documents: Sequence[Document], config: RecallConfig, progress: Progress) -> Taught:
    """Train the model in `folder`, or go on where an earlier call was interrupted, or take it as it is there.

    It learns on tasks hidden in the documents. `folder/model` is what `load_host` takes.
    """
    told, final = folder / "training.json", folder / "model"
    if told.is_file():
        values = read_json(told)
        _check(folder, values["config"], config)
        return Taught(load_host(final), values["history"], values["seconds"])
    steps = _begun(folder, documents, config)
    for step in steps.run():
        progress("training", step, config.steps, steps.said)
        if step % SAVED == 0:
            steps.save(folder / "checkpoints")
    save_host(steps.memory, final)
    write_json(told, steps.values())
    return Taught(load_host(final), steps.history, steps.seconds)


def _begun(folder: Path, documents: Sequence[Document], config: RecallConfig) -> "Steps":
    """The loop at its beginning, or at the newest checkpoint."""
    start, saved = folder / "start", folder / "checkpoints"
    if not (start / "memory.json").is_file():
        save_host(_untaught(documents, config), start)
    steps = Steps(load_host(start), config, documents)
    if checkpoint.saved_steps(saved):
        newest = checkpoint.newest(saved)
        _check(folder, newest.values["config"], config)
        steps.continue_from(newest)
    return steps


def _check(folder: Path, found: dict[str, Any], config: RecallConfig) -> None:
    if RecallConfig.parse(found, str(folder)) != config:  # a setting that came later has its default
        raise Problem(f"{folder}: the model there was trained in another way; give another folder, or remove it")


class Steps:
    """The loop: each step's random numbers follow from seed and step alone, so that it can be continued anywhere."""

    def __init__(self, memory: Memory, config: RecallConfig, documents: Sequence[Document]) -> None:
        self.memory, self.config = memory, config
        assert memory.tokenizer is not None
        tokenizer = memory.tokenizer
        self.encode = lambda text: list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        self.haystack = Haystack([document.text for document in documents], lambda text: len(self.encode(text)))
        self.optimizer = AdamW(_groups(memory.model, config), betas=(0.9, 0.98))
        self.history: list[dict[str, float]] = []
        self.recent: list[tuple[float, float]] = []
        self.step, self.seconds, self.said = 0, 0.0, ""

    def run(self) -> Iterator[int]:
        """Take the steps that are left; gives how many have been taken."""
        together = Together(self.memory)
        self.memory.model.train()
        self.memory.model.set_attn_implementation("eager")  # a third less time than sdpa for windows as short as these
        while self.step < self.config.steps:
            begun = process_time()
            self._step(together)
            self.seconds += process_time() - begun
            if self.step % NOTED == 0 or self.step == self.config.steps:
                loss, right = np.mean(self.recent, axis=0).tolist()
                factor = self.config.factor(self.step - 1)
                self.history.append({"step": self.step, "factor": factor, "loss": loss, "right": right})
                self.said = f"{factor} windows, loss {loss:.3f}, {right:.1%} right"
                self.recent = []
            yield self.step

    def _step(self, together: Together) -> None:
        config = self.config
        rng = np.random.default_rng([config.seed, self.step])
        tokens = config.factor(self.step) * config.host.window
        write = Writer(rng, self.haystack, tokens, config.host.window, evaluation=False)
        given = lesson(LESSONS[config.task], write, self.encode, config.sets, config.questions)
        loss, answered, right = self._loss(together, given)
        for group in self.optimizer.param_groups:
            group["lr"] = group["full"] * config.rate(self.step)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.memory.model.parameters(), 1.0)
        self.optimizer.step()
        self.recent.append((float(answered.detach()), right))
        self.step += 1

    def _loss(self, together: Together, given: Lesson) -> tuple[Tensor, Tensor, float]:
        with torch.autocast(self.memory.model.device.type, torch.bfloat16):
            together.read(given.sets)
            with together.asking(given.rows):
                logits = self.memory.model(input_ids=given.ids, use_cache=False).logits
        logits = logits.float()
        answered = cross_entropy(logits.flatten(0, 1), given.answers.flatten(), ignore_index=IGNORED)
        others = cross_entropy(logits.flatten(0, 1), given.others.flatten(), ignore_index=IGNORED)
        right = (logits.argmax(-1) == given.answers) | (given.answers == IGNORED)
        return answered + self.config.others * others, answered, right.all(-1).float().mean().item()

    def values(self) -> dict[str, Any]:
        """What is told of the training, as JSON."""
        return {"config": self.config.model_dump(mode="json"), "history": self.history, "seconds": self.seconds}

    def save(self, folder: Path) -> None:
        """A checkpoint; the one before goes."""
        moments = {
            f"{name}/{index}": value
            for index, state in self.optimizer.state_dict()["state"].items()
            for name, value in state.items()
        }
        tensors = {"model": self.memory.model.state_dict(), "optimizer": moments}
        checkpoint.save(folder, self.step, tensors, self.values())
        checkpoint.prune(folder, self.step, 1)

    def continue_from(self, saved: checkpoint.Checkpoint) -> None:
        """Go on from a checkpoint."""
        self.memory.model.load_state_dict(saved.tensors["model"])
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in saved.tensors["optimizer"].items():
            name, index = key.rsplit("/", 1)
            state.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.step, self.history = saved.values["step"], saved.values["history"]
        self.seconds = saved.values["seconds"]


def _untaught(documents: Sequence[Document], config: RecallConfig) -> Memory:
    draw = torch.Generator().manual_seed(config.seed)
    chosen = sorted(documents, key=lambda document: document.id)[:: max(1, len(documents) // SAMPLES)]
    tokenizer = small_tokenizer((document.text[:SAMPLE] for document in chosen), config.host.vocab_size)
    memory = attach(small_decoder(config.host, draw), tokenizer, **dict(config.memory))
    alike(memory, config.sharpness)
    with torch.no_grad():
        for name, weight in memory.model.named_parameters():
            if name.endswith(f"{OWN}.slope"):
                weight.fill_(config.slope)
    return memory


def _groups(model: nn.Module, config: RecallConfig) -> list[dict[str, Any]]:
    """Matrices decay and learn at the rate; gains and gates learn three times, slopes ten times as fast, undecayed."""
    found: dict[str, list[nn.Parameter]] = {"matrices": [], "vectors": [], "slopes": []}
    for name, weight in model.named_parameters():
        kind = "slopes" if name.endswith(f"{OWN}.slope") else "matrices" if weight.ndim > 1 else "vectors"
        found[kind].append(weight)
    rates = {"matrices": config.lr, "vectors": 3 * config.lr, "slopes": 10 * config.lr}
    return [
        {"params": found[kind], "weight_decay": 0.01 if kind == "matrices" else 0.0, "lr": rate, "full": rate}
        for kind, rate in rates.items()
        if found[kind]
    ]
