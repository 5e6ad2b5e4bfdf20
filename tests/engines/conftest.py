import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from milvus_server import Server


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
