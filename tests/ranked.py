"""Several ranks on this machine, forked from one process that has imported everything and computed nothing."""

import contextlib
import os
import random
import signal
import socket
import time
import traceback
from collections.abc import Callable

import torch._dynamo  # noqa: F401  # DistributedDataParallel imports it, else on each rank anew

LIMIT = 240  # seconds after which ranks that hang are killed


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def forked(size: int, job: Callable[[], object], kill_after: Callable[[], float] | None = None) -> list[int]:
    """The exit status of `job` on each of so many ranks; with `kill_after`, all are killed without warning after that.

    One rank is a process started alone.
    """
    port = free_port()
    children = []
    for rank in range(size):
        child = os.fork()
        if not child:
            _become(rank, size, port, job)
        children.append(child)
    begun = time.monotonic()
    deadline = begun + (LIMIT if kill_after is None else kill_after())
    found: dict[int, int] = {}
    while len(found) < size:
        for child in children:
            if child not in found:
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    found[child] = os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            # A random one first: the others may still get as far as to say that it has gone.
            for child in random.sample(children, size):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return [found[child] for child in children]


def _become(rank: int, size: int, port: int, job: Callable[[], object]) -> None:
    """Run the job as one rank and leave."""
    if size > 1:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ |= {name: str(value) for name, value in place.items()}
    status = 1
    try:
        job()
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:  # noqa: BLE001  # a forked process must never return into its parent's code
        traceback.print_exc()
    finally:
        os._exit(status)
