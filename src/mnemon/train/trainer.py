import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, cast

import torch
from torch import Tensor, nn

from mnemon.config import Problem
from mnemon.data import Batch
from mnemon.model import Drift, MemoryState, Remembering, computing, key_drift
from mnemon.train.compiled import compile_parts
from mnemon.train.config import TrainConfig, dealt, dealt_rows
from mnemon.train.engines import make_engine
from mnemon.train.history import History
from mnemon.train.pages import keep_pages
from mnemon.train.ranks import ALONE, Ranks
from mnemon.train.schedule import factor

Record = dict[str, Any]  # numbers by name


class Diverged(Problem):
    """A loss or a gradient is not a number; the weights are those of the step before."""


class Trainer:
    """A model in training, one optimiser step after another: its optimisers and what each lane remembers.

    loss = sum of nll over the targets / their number + the model's penalty. A step is: reset the lanes whose document
    begins, forward, backward, clip, optimiser, `project_`, and only then commit what the lanes have read. The sum of
    nll itself, as arXiv 2203.08913 takes it, trains alike: Adafactor and Adam see no gradient's scale but by epsilons.
    Micro-batch i always holds the same lanes and has a `MemoryState` of its own. The model is a `Transformer` or a
    module with the same `forward`, `init_state`, `head.nll` and `project_`, on the device where it is to be trained.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, ranks: Ranks = ALONE):
        self.model, self.ranks = cast(Any, model), ranks
        self.config = config if config.lanes else dealt(config, self.model.init_state(1, 0).segment)
        self.device = next(model.parameters()).device
        if config.keep_pages and self.device.type == "cpu":
            keep_pages()
        if config.compile:
            compile_parts(model)
        self.engine = make_engine(model, config, ranks)
        self.optimizers = self.engine.optimizers
        self._highest = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        rows = dealt_rows(self.config, ranks.size)
        self.states: list[MemoryState] = [self.model.init_state(rows) for _ in range(config.accumulate)]
        again = self.config.drift_every or self.config.reencode_every
        if again and not self.states[0].remembers:
            raise Problem("drift_every and reencode_every are for models with a kNN memory, and this one has none")
        self.histories = [History(state) for state in self.states] if again else []
        self.step, self.tokens, self.seconds = 0, 0, 0.0

    def advance(self, batch: Batch) -> Record:
        """Make one step and say how it went; on `Diverged` nothing has changed but the lanes that began a document.

        Each rank is given the batch of all ranks, reads its own lanes of it, and says how the step went for all.
        """
        begun = time.perf_counter()
        self.model.train()
        count = int((batch.targets >= 0).sum())
        parts = _parts(batch, self.ranks.share(len(batch.targets)), len(self.states))
        shares, updates = [], []
        for part, state in zip(parts, self.states, strict=True):
            with contextlib.nullcontext() if part is parts[-1] else self.engine.alone():
                nll, update = self._backward(part, state, count)
            shares.append(nll)
            updates.append(update)
        loss = self._finite("loss", self.ranks.sum(torch.stack(shares).sum()))
        limit = math.inf if self.config.clip is None else self.config.clip
        norm = self._finite("gradient norm", self.engine.clip(limit))
        lr = self._update()
        for part, state, update in zip(parts, self.states, updates, strict=True):
            state.commit(update, part.ends)
        drift = self._read_again(parts) if self.histories else {}
        took = time.perf_counter() - begun
        self.step, self.tokens, self.seconds = self.step + 1, self.tokens + count, self.seconds + took
        return {
            "step": self.step,
            "loss": loss,
            "lr": lr,
            "tokens": self.tokens,
            "tokens_per_second": count / took,
            "seconds": self.seconds,
            "gradient_norm": norm,
            **drift,
        }

    def _read_again(self, parts: list[Batch]) -> Record:
        """When it is time: how stale the memory is, and a memory encoded anew in its place."""
        for history, part, state in zip(self.histories, parts, self.states, strict=True):
            history.note(part, state)
        looks, renews = (
            every is not None and (self.step + 1) % every == 0
            for every in (self.config.drift_every, self.config.reencode_every)
        )
        if not looks and not renews:
            return {}
        again = [history.read_again(self.model, self.config.precision) for history in self.histories]
        found = drift_record(self.states, again, self.ranks) if looks else {}
        self.states = again if renews else self.states
        return found

    def _backward(self, batch: Batch, state: Remembering, count: int) -> tuple[Tensor, Any]:
        """Gradients of one micro-batch: its share of the loss, and what its lanes are to remember."""
        state.reset(batch.starts)
        tokens, targets = batch.tokens.to(self.device), batch.targets.to(self.device)
        with computing(self.device, self.config.precision):
            nll, penalty, update = self.engine.forward(tokens, targets, state, batch.lengths)
            nll = nll / max(count, 1)
        # Gradients are averaged over the ranks, but every token of all ranks is to count alike.
        (nll * self.ranks.size + penalty / len(self.states)).backward()
        return nll.detach(), update

    def _update(self) -> float:
        """Let the optimisers act, and say at which learning rate."""
        config = self.config
        tuning = config.fine_tune, config.fine_tune_share
        share = factor(config.schedule, self.step + 1, config.steps, config.warmup, config.decay, config.floor, *tuning)
        for optimizer, highest in zip(self.optimizers, self._highest, strict=True):
            for group, lr in zip(optimizer.param_groups, highest, strict=True):
                group["lr"] = lr * share
        self.engine.step()
        self.model.project_()
        return config.lr * share

    def _finite(self, name: str, value: Tensor) -> float:
        number = value.item()
        if not math.isfinite(number):
            self.engine.zero_grad()
            raise Diverged(f"step {self.step + 1}: the {name} is {number}")
        return number

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What this rank holds of weights that learn and of optimiser state, and what its lanes remember, by name."""
        memory = {f"{i}.{name}": t for i, state in enumerate(self.states) for name, t in state.tensors().items()}
        read = {f"{i}.{name}": t for i, each in enumerate(self.histories) for name, t in each.tensors().items()}
        groups = {"model": self.engine.weights(), "optimizer": self.engine.moments(), "memory": memory}
        return groups | ({"history": read} if read else {})

    def values(self) -> dict[str, Any]:
        """The numbers that belong to `tensors`, as JSON."""
        optimizer = self.config.optimizer
        return {"step": self.step, "tokens": self.tokens, "seconds": self.seconds, "optimizer": optimizer}

    def load(self, tensors: Mapping[str, Mapping[str, Tensor]], values: Mapping[str, Any]) -> None:
        """Continue where another trainer of the same config stood when it gave `tensors` and `values`."""
        if values["optimizer"] != self.config.optimizer:
            raise ValueError(f"saved with optimizer {values['optimizer']!r}, not {self.config.optimizer!r}")
        self.engine.load(tensors["model"], tensors["optimizer"])
        for i, state in enumerate(self.states):
            state.load(_under(f"{i}.", tensors["memory"]), self.device)
        for i, history in enumerate(self.histories):
            history.load(_under(f"{i}.", tensors.get("history", {})))
        self.step, self.tokens, self.seconds = values["step"], values["tokens"], values["seconds"]


def drift_record(states: Sequence[MemoryState], again: Sequence[MemoryState], ranks: Ranks = ALONE) -> Record:
    """Mean cosine of stored keys with those of the present weights, over all entries and by age in segments."""
    own = [asdict(each) for old, new in zip(states, again, strict=True) for each in key_drift(old, new)]
    found = [Drift(**{**each, "ages": tuple(each["ages"])}) for of_rank in ranks.gather(own) for each in of_rank]
    names = {each.ages: "key_cosine_{}_to_{}".format(*each.ages) for each in found}
    chosen = {"key_cosine": found} | {name: [e for e in found if e.ages == ages] for ages, name in names.items()}
    return {
        name: sum(each.cosine * each.entries for each in group) / sum(each.entries for each in group)
        for name, group in chosen.items()
        if group
    }


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _parts(batch: Batch, own: slice, n: int) -> list[Batch]:
    """The rows `own` of a batch dealt to `n` micro-batches."""
    columns = [getattr(batch, field.name)[own].chunk(n) for field in fields(batch)]
    return [Batch(*rows) for rows in zip(*columns, strict=True)]
