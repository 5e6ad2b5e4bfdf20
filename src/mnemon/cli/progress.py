from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mnemon.config import Problem
from mnemon.train import Record

LINES = 20  # how often a phase says where it stands when nobody watches a terminal


class Phases:
    """Shows on standard error how far a long command is: one bar a phase, or some lines a phase in a log file.

    A call notes that `done` of `total` are behind, and what else there is to say. Phases may go side by side.
    """

    def __init__(self, console: Console | None = None):
        self._console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._lines: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A problem is said in one line: the bars go.
        self._bar.live.transient = isinstance(error, Problem)
        self._bar.stop()

    def __call__(self, phase: str, done: int, total: int, said: str = "") -> None:
        """Note where a phase stands."""
        if phase not in self._tasks:
            # What was done before the first note, such as the steps before a resumed one, is no part of the rate.
            self._tasks[phase] = self._bar.add_task(phase, total=total, completed=done, said=said)
        self._bar.update(self._tasks[phase], completed=done, total=total, said=said)
        line = LINES if done >= total else LINES * done // total
        if not self._console.is_terminal and line > self._lines.get(phase, 0):
            self._lines[phase] = line
            self._console.print(f"{phase}  {done:,}/{total:,}  {said}".rstrip(), highlight=False, soft_wrap=True)


class Steps:
    """Notes the steps of a training, after what comes before the first, and keeps the last record."""

    def __init__(self, show: Phases, total: int):
        self.last: Record = {}
        self._show, self._total = show, total
        show("preparing", 0, 1)

    def __call__(self, record: Record) -> None:
        """Note one step."""
        if not self.last:
            self._show("preparing", 1, 1)
        said = f"loss {record['loss']:.4f}  {record['tokens_per_second']:,.0f} tokens/s"
        self._show("training", int(record["step"]), self._total, said)
        self.last = record
