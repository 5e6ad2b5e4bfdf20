"""The way to a server; the acts on a real one are in tests/engines."""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.studies.faults.proxy import Proxy, Trouble
from mnemon.studies.faults.server_acts import Server


@pytest.fixture
def echo() -> Iterator[str]:
    """The address of a server that says again what it is told."""
    door = socket.create_server(("127.0.0.1", 0))

    def answer(end: socket.socket) -> None:
        with end, contextlib.suppress(OSError):
            while said := end.recv(100):
                end.sendall(said)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(door.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{door.getsockname()[1]}"
    door.close()


def talk(proxy: Proxy, said: bytes) -> bytes:
    """What comes back on a connection of its own."""
    found = b""
    with socket.create_connection(("127.0.0.1", int(proxy.uri.rsplit(":", 1)[1])), timeout=10) as end:
        end.sendall(said)
        with contextlib.suppress(ConnectionError):
            while len(found) < len(said) and (part := end.recv(100)):
                found += part
    return found


@pytest.mark.parametrize("kind", ["delay", "stall"])
def test_what_is_late_comes_all_the_same(echo: str, kind: str) -> None:
    proxy = Proxy(echo, Trouble(kind, 30, 0.2))
    begun = time.monotonic()
    assert talk(proxy, b"x" * 40) == b"x" * 40
    assert talk(proxy, b"y" * 40) == b"y" * 40
    assert time.monotonic() - begun > 0.2
    assert (proxy.struck, proxy.passed) == (1, 160)
    proxy.close()


@pytest.mark.parametrize("kind", ["cut", "vanish"])
def test_a_connection_is_cut_and_a_new_one_holds(echo: str, kind: str) -> None:
    proxy = Proxy(echo, Trouble(kind, 60, 0.3))
    assert talk(proxy, b"x" * 40) != b"x" * 40
    begun = time.monotonic()
    while True:
        with contextlib.suppress(ConnectionError):
            if talk(proxy, b"y" * 40) == b"y" * 40:
                break
        assert time.monotonic() - begun < 10
    assert proxy.struck == 1
    proxy.close()


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="nothing answers there"):
        Server("http://127.0.0.1:1", tmp_path).carry_out("cut", random.Random(0))
