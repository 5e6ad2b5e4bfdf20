from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mnemon.train import Record

LINES = 20  # how often a run says where it stands when nobody watches a terminal


class Steps:
    """Shows training on standard error: a bar with loss, tokens a second and time left, or lines in a log file."""

    def __init__(self, total: int, console: Console | None = None):
        self.total = total
        self.last: Record = {}
        self._console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("preparing", total=total, said="", start=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, record: Record) -> None:
        """Note one step."""
        said = f"loss {record['loss']:.4f}  {record['tokens_per_second']:,.0f} tokens/s"
        step = int(record["step"])
        if not self.last:
            # A resumed run has done its earlier steps: they are not part of the rate.
            self._bar.update(self._task, description="training", completed=step)
            self._bar.start_task(self._task)
        self._bar.update(self._task, completed=step, said=said)
        if not self._console.is_terminal and (step % max(self.total // LINES, 1) == 0 or step == self.total):
            self._console.print(f"step {step}/{self.total}  {said}", highlight=False, soft_wrap=True)
        self.last = record
