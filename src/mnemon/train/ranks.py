"""The processes that train one model together: which of them this one is, and what they tell each other."""

import atexit
import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mnemon.config import Problem

START = "torchrun --nproc-per-node 2 -m mnemon"


class Agreed(Problem):
    """A problem that every rank has, at the same place: for the first to say."""


@dataclass(frozen=True)
class Ranks:
    """This process, `rank` of `size`, and the group they talk in. `Ranks()` is a process alone: it asks nobody."""

    rank: int = 0
    size: int = 1
    group: dist.ProcessGroup | None = None

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes what there is once, and speaks for all."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all ranks, on each of them."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value, group=self.group)
        return value

    def any(self, asked: bool) -> bool:
        """Whether one rank says yes."""
        return bool(self.sum(torch.tensor(float(asked))))

    def gather(self, value: Any) -> list[Any]:
        """What each rank gave, by rank: JSON values, for nothing that could be executed is sent."""
        if self.size == 1:
            return [value]
        own = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.long) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(own)]), group=self.group)
        longest = max(int(length) for length in lengths)
        texts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.size)]
        dist.all_gather(texts, torch.nn.functional.pad(own, (0, longest - len(own))), group=self.group)
        return [json.loads(bytes(text[: int(n)].tolist())) for text, n in zip(texts, lengths, strict=True)]

    def agree(self, what: str, value: Any) -> None:
        """Each rank has read something for itself: what must be the same on all of them, by a JSON value of it."""
        said = self.gather(value)
        other = next((rank for rank, each in enumerate(said) if each != said[0]), None)
        if other is not None:
            raise Agreed(f"rank {other} found other {what} than rank 0: all ranks must be given the same")

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A problem that one rank has inside is a problem of all: none goes on to wait for one that has stopped."""
        if self.size == 1:
            yield
            return
        found = None
        try:
            yield
        except Problem as problem:
            found = str(problem)
        said = self.gather(found)
        if any(said):
            rank, first = next((rank, each) for rank, each in enumerate(said) if each)
            raise Agreed(first if all(each == first for each in said) else f"rank {rank}: {first}")

    def share(self, rows: int) -> slice:
        """Which of `rows` lanes, all ranks together, are this rank's."""
        each = rows // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def aside(self) -> "Ranks":
        """The same ranks in a group of their own, for a thread that talks while others do."""
        if self.size == 1:
            return self
        return Ranks(self.rank, self.size, dist.new_group(backend="gloo"))


ALONE = Ranks()


def launched() -> bool:
    """Whether this process was started as one of several ranks, by torchrun or what sets the same variables."""
    return {"RANK", "WORLD_SIZE"} <= os.environ.keys() and int(os.environ["WORLD_SIZE"]) > 1


def speaks() -> bool:
    """Whether what all ranks would say alike is for this one to say."""
    return not launched() or os.environ["RANK"] == "0"


@contextlib.contextmanager
def joined(parallel: str, patience: float) -> Iterator[Ranks]:
    """All the ranks that this process was started with; `Ranks()` where it was started alone.

    `patience`: seconds after which a rank that hears nothing of the others gives up. When a job ends badly, one rank
    raises what is to be said; the others leave by `SystemExit`, with nothing to say but the same status.
    """
    if not launched():
        if parallel != "auto":
            raise Problem(f"parallel {parallel!r} is for several ranks, and this is one process: start it with {START}")
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    store = _met(patience)
    # DistributedDataParallel holds the group too. Were it the last, it would end the group's threads under Python's
    # lock, which one of them may be waiting for: a job that is done would never leave.
    atexit.register(id, dist.group.WORLD)
    try:
        with left_behind():
            yield Ranks(dist.get_rank(), dist.get_world_size())
    except (Problem, OSError, KeyboardInterrupt) as end:
        silent = dist.get_rank() > 0 if isinstance(end, Agreed | KeyboardInterrupt) else _said_already(store)
        if silent:
            raise SystemExit(130 if isinstance(end, KeyboardInterrupt) else 2) from None
        raise
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def left_behind() -> Iterator[None]:
    """A rank that hears no more of another says so in one line."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        if not isinstance(error, dist.DistError) and "gloo" not in first.lower() and "nccl" not in first.lower():
            raise
        reason = first.rpartition("] ")[2].partition(". ")[0]  # between where it was raised and advice
        raise Problem(
            f"another rank has stopped or cannot be reached ({reason}); the last checkpoint is whole: "
            "start all ranks again with --resume"
        ) from None


def _met(patience: float) -> dist.Store:
    """Join the group of all ranks; what they can leave notes in for each other."""
    wait = timedelta(seconds=patience)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=wait))
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=wait)
    except (ValueError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise Problem(
            f"rank {os.environ['RANK']} did not meet the {os.environ['WORLD_SIZE']} ranks at {where} within "
            f"{patience:g} s ({first}): is rank 0 running there, and is the port open?"
        ) from None
    return store


def _said_already(store: dist.Store) -> bool:
    """Whether another rank says why the job ends; where that cannot be asked, this one says it too."""
    try:
        return store.add("said", 1) > 1
    except RuntimeError:
        return False
