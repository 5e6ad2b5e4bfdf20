import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from multiprocessing.managers import SyncManager
from typing import Any

import torch

Progress = Callable[[str, int, int, str], None]
Task = Callable[[Progress], Any]
PATIENCE = 0.2  # seconds between looks at the tasks


def run_all(tasks: Sequence[Task], progress: Progress, workers: int | None = None) -> list[Any]:
    """The results of all tasks, run side by side in processes of one thread each.

    Small models gain nothing from several threads an operation, and lose much when another process is busy. With one
    thread a figure does not depend on the number of cores. Each task is given a `progress` of its own to call; what it
    says reaches the caller's. `workers`: processes at once (default: one a core).
    Tasks and results are pickled: top-level functions, or `partial` of them.
    """
    context = multiprocessing.get_context("spawn")
    n_workers = min(len(tasks), workers or os.cpu_count() or 1)
    manager = SyncManager(ctx=context)
    manager.start(_begin)
    with manager:
        said: queue.Queue[tuple[str, int, int, str]] = manager.Queue()
        pool = ProcessPoolExecutor(n_workers, context, initializer=_begin)
        try:
            futures = [pool.submit(task, partial(_say, said)) for task in tasks]
            while not all(future.done() for future in futures):
                _listen(said, progress)
                _raise_first(futures)
            _listen(said, progress)
            return [future.result() for future in futures]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """One thread of work, and one that ends the process with its parent: a rerun must find nobody at work."""
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # at once: files are written whole or not at all


def _say(said: "queue.Queue[tuple[str, int, int, str]]", phase: str, done: int, total: int, words: str) -> None:
    said.put((phase, done, total, words))


def _listen(said: "queue.Queue[tuple[str, int, int, str]]", progress: Progress) -> None:
    """Pass on what was said, until nothing comes for a moment."""
    while True:
        try:
            message = said.get(timeout=PATIENCE)
        except queue.Empty:
            return
        progress(*message)


def _raise_first(futures: Sequence["Future[Any]"]) -> None:
    """Fail as soon as one task has failed, without waiting for the others."""
    for future in futures:
        if future.done():
            error = future.exception()
            if error is not None:
                raise error
