import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from mnemon.config import Problem
from mnemon.train.ranks import left_behind


class Saver:
    """Runs one job after another: at once, or `beside` the training, in a thread, while it goes on.

    A job's problem is raised by `wait`, or by the next `run`, which waits for the job before it.
    """

    def __init__(self, beside: bool):
        self.beside = beside
        self._thread: threading.Thread | None = None
        self._problem: Problem | None = None

    def run(self, job: Callable[[], None]) -> None:
        """Do the job; what it reads must not change any more."""
        if not self.beside:
            job()
            return
        self.wait()
        self._thread = threading.Thread(target=self._do, args=(job,), name="saving")
        self._thread.start()

    def wait(self) -> None:
        """Until the last job is done."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._problem is not None:
            problem, self._problem = self._problem, None
            raise problem

    def _do(self, job: Callable[[], None]) -> None:
        try:
            with left_behind():
                job()
        except Problem as problem:
            self._problem = problem

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.wait()
        elif self._thread is not None:
            self._thread.join()  # what stopped the training is said, and the checkpoint before it is whole
