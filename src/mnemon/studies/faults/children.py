"""Processes that are struck. A server that has imported everything forks them, so that one costs some milliseconds."""

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from mnemon.config import Problem
from mnemon.studies.faults.striking import Strike

PRELOADED = [
    "acts",
    "store_acts",
    "server_acts",
    "training",
    "contending",
    *(["reading"] if find_spec("transformers") else []),
]
ENGINE = ["pymilvus", "milvus_lite.adapter.grpc.server"] if find_spec("milvus_lite") else []
PATIENCE = 120  # seconds that a process has
Work = Callable[[Path, Callable[[int], None]], None]


@dataclass
class Ended:
    """How a process ended: its exit status, negative for a signal; the steps it acknowledged, what it said last, calls
    it made that change the disk, and seconds it took.
    """

    status: int
    steps: int
    said: str = ""
    calls: int = 0
    seconds: float = 0.0


class Child:
    """A process at `work` in `place`, which `strike` strikes."""

    def __init__(self, work: Work, place: Path, strike: Strike | None = None):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["__main__", *(f"mnemon.studies.faults.{name}" for name in PRELOADED), *ENGINE])
        self._hears, says = context.Pipe(duplex=False)
        self.process: BaseProcess = context.Process(target=_work, args=(work, place, strike, says))
        self.process.start()
        says.close()
        self._heard: dict[str, Any] = {}
        self.steps = 0

    def begun(self) -> None:
        """Wait until its work begins."""
        while "begun" not in self._heard and self._hear(PATIENCE):
            pass

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()

    def end(self) -> Ended:
        """Wait for its end."""
        while self._hear(PATIENCE):
            pass
        self.process.join(PATIENCE)
        status = self.process.exitcode
        self.process.close()
        self._hears.close()
        said = self._heard
        return Ended(1 if status is None else status, self.steps, said.get("said", ""), *said.get("done", ()))

    def _hear(self, seconds: float) -> bool:
        """Take in one message; whether there was one."""
        try:
            if not self._hears.poll(seconds):
                return False
            kind, *said = self._hears.recv()
        except EOFError:
            return False
        if kind == "step":
            self.steps = max(self.steps, *said)
        else:
            self._heard[kind] = said if kind == "done" else said[0]
        return True


def _work(work: Work, place: Path, strike: Strike | None, says: Connection) -> None:
    torch.set_num_threads(1)
    os.chdir(place)
    says.send(("begun", True))
    begun = time.perf_counter()
    calls = strike.begin() if strike else None
    try:
        work(place, lambda step: says.send(("step", step)))
    except Problem as problem:
        says.send(("said", str(problem)))
        os._exit(2)
    says.send(("done", calls.seen if calls else 0, time.perf_counter() - begun))
    os._exit(0)
