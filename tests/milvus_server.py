"""A real Milvus on this machine, for tests that need one."""

import os
import signal
import socket
import subprocess
from pathlib import Path

SERVE = Path(__file__).parent / "engines" / "serve.py"


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
