import json
import os
from pathlib import Path
from typing import Any, Self

from mnemon.config import Problem, told, write_text
from mnemon.train.tensorboard import events
from mnemon.train.trainer import Record


class Metrics:
    """`metrics.jsonl`, one flushed line a step, and TensorBoard events beside it where that package is installed."""

    def __init__(self, out: Path, after: int, writes: bool = True):
        """Continue after step `after`: later lines, and a torn one, are dropped. Off, nothing is written at all."""
        self._path = path = out / "metrics.jsonl"
        self._events, self._lines = None, None
        if not writes:
            return
        if path.exists():
            write_text(path, "".join(kept(path.read_bytes(), after)))
        with told(out / "tensorboard"):
            self._events = events(out / "tensorboard", after)
        with told(path):
            self._lines = open(path, "a", encoding="utf-8")  # noqa: SIM115  # closed by close

    def write(self, record: Record) -> None:
        """Add the line of one step."""
        if self._lines is None:
            return
        self._lines.write(json.dumps(record, allow_nan=False) + "\n")
        self._lines.flush()
        if self._events is not None:
            for name in sorted(set(record) - {"step"}):
                self._events.add_scalar(name, record[name], int(record["step"]))

    def sync(self) -> None:
        """Bring every line to the disk: a checkpoint must not outlive the lines before it."""
        if self._lines is not None:
            with told(self._path):
                os.fsync(self._lines.fileno())

    def close(self) -> None:
        """Close the files."""
        if self._lines is not None:
            self._lines.close()
        if self._events is not None:
            with told(self._path.with_name("tensorboard")):
                self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def read_records(folder: Path | str) -> list[Record]:
    """The metrics of a run folder, one record a step; a torn last line is left out."""
    path = Path(folder) / "metrics.jsonl"
    if not path.is_file():
        raise Problem(f"{path}: no such file; is this a run folder?")
    return [json.loads(line) for line in kept(path.read_bytes())]


def kept(lines: bytes, after: int | None = None) -> list[str]:
    """The whole lines of steps up to `after` (None: of all steps)."""
    found = []
    for line in lines.decode("utf-8", errors="replace").splitlines():
        try:
            record: Any = json.loads(line)
        except json.JSONDecodeError:
            continue
        step = record.get("step") if isinstance(record, dict) else None
        if isinstance(step, int) and (after is None or step <= after):
            found.append(line + "\n")
    return found
