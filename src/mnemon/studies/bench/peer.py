import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

HINT = "not measured: make bench-peers makes its environment"


class Peer:
    """Another implementation in a process of its own, which makes one round whenever it is asked for one.

    Its script, run by the interpreter of its own environment, takes the shape as JSON in the first argument, answers
    with a line of JSON once it is ready, and with one more, `seconds` in it, for each line that it reads.
    `missing` says why there are no figures, if there are none.
    """

    def __init__(self, python: Path | None, script: Path, shape: dict[str, Any]):
        self.missing: str | None = None if python is not None and python.exists() else HINT
        self.seconds: list[float] = []
        self.about: dict[str, Any] = {}
        self._python, self._script, self._shape = python, script, shape
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        if self.missing is not None:
            return self
        assert self._python is not None
        self._folder = TemporaryDirectory()  # the peer may write files where it runs, and does
        self._errors = open(Path(self._folder.name) / "errors", "w+")  # closed with the process
        command = [str(self._python.absolute()), str(self._script.absolute()), json.dumps(self._shape)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=self._folder.name,
        )
        self._hear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._errors.close()
        self._folder.cleanup()

    def round(self) -> None:
        """Have one round made; its time is added to `seconds`."""
        if self.missing is not None:
            return
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it answers, or its end, says why
        heard = self._hear()
        if heard:
            self.seconds.append(heard["seconds"])

    def _hear(self) -> dict[str, Any]:
        """The next line of the peer; where it has ended instead, `missing` tells its last words."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            said = self._errors.read().strip().splitlines()
            self.missing = f"failed: {said[-1] if said else 'it ended without a word'}"
            return {}
        heard: dict[str, Any] = json.loads(line)
        self.about |= {name: value for name, value in heard.items() if name != "seconds"}
        return heard
