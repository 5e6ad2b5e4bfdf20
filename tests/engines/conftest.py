import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVE = Path(__file__).with_name("serve.py")


class Server:
    """A real Milvus on this machine, started and killed at will; its data stay in `folder`."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.folder = python, folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.uri = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.python, SERVE, self.folder, str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said.strip().isdigit(), f"the server did not start: see {self.folder / 'logs'}"

    def kill(self) -> None:
        """`kill -9` of the server and of what leads to it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for end in (self.process.stdin, self.process.stdout):
            assert end is not None
            end.close()


def _environment() -> Path:
    """The interpreter of an environment of its own, which holds the server's wheel: it is not of our time."""
    place = Path(os.environ.get("MILVUS_VENV", Path(__file__).parents[2] / ".venv-milvus"))
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "milvus==2.3.5"], check=True)
    return python


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the last release that is a wheel, 2.3.5."""
    if sys.platform != "linux":
        pytest.skip("the server's wheel is for Linux")
    found = Server(_environment(), tmp_path_factory.mktemp("milvus"))
    yield found
    found.kill()
