"""A way to a server that is slow, stalls, is cut, or is away for a while."""

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlparse

CHUNK = 4096
AT_ONCE = struct.pack("ii", 1, 0)  # a connection that is closed so is reset: what is under way is lost


@dataclass(frozen=True)
class Trouble:
    """What happens on the way once `after` bytes have gone by: again after as many, `times` times.

    "delay" lets every piece wait `seconds` from then on, "stall" lets nothing by for so long, "cut" resets all
    connections, "vanish" does so and takes no new ones for so long.
    """

    kind: str
    after: int
    seconds: float = 0.0
    times: int = 1


class Proxy:
    """Listens on a port of this machine and carries everything to the server at `uri` and back, with `trouble`."""

    def __init__(self, uri: str, trouble: Trouble):
        where = urlparse(uri)
        self._server = (where.hostname or "", where.port or 19530)
        self.trouble = trouble
        self.struck = 0
        self.passed = 0
        self._changing = threading.Lock()
        self._clear = threading.Event()
        self._clear.set()
        self._open: set[socket.socket] = set()
        self._ended = False
        self._door = socket.create_server(("127.0.0.1", 0))
        self._port = int(self._door.getsockname()[1])
        self.uri = f"http://127.0.0.1:{self._port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Carry nothing any more."""
        self._ended = True
        self._door.close()
        self._cut()
        self._clear.set()

    def _accept(self) -> None:
        while not self._ended:
            try:
                outer, _ = self._door.accept()
                inner = socket.create_connection(self._server, timeout=5)
            except OSError:
                self._clear.wait(5)
                time.sleep(0.01)  # the door is away, or the server is
                continue
            inner.settimeout(None)
            with self._changing:
                self._open |= {outer, inner}
            for ends in ((outer, inner), (inner, outer)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                self._clear.wait()
                keep = self._strike(len(data))
                if self.struck and self.trouble.kind == "delay":
                    time.sleep(self.trouble.seconds)
                target.sendall(data[:keep])
                if keep < len(data):
                    self._happen()
                    target.sendall(data[keep:])
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _strike(self, size: int) -> int:
        """How much of so many bytes goes by before something happens: it happens in the middle of what is said."""
        with self._changing:
            due = (self.struck + 1) * self.trouble.after
            before, self.passed = self.passed, self.passed + size
            if self.struck >= self.trouble.times or self.passed <= due:
                return size
            self.struck += 1
            return max(0, due - before)

    def _happen(self) -> None:
        kind, seconds = self.trouble.kind, self.trouble.seconds
        if kind == "stall":
            self._clear.clear()
            time.sleep(seconds)
            self._clear.set()
        elif kind in ("cut", "vanish"):
            if kind == "vanish":
                self._clear.clear()
                self._door.close()
            self._cut()
            if kind == "vanish":
                time.sleep(seconds)
                self._door = socket.create_server(("127.0.0.1", self._port))
                self._clear.set()

    def _cut(self) -> None:
        with self._changing:
            ends, self._open = self._open, set()
        for end in ends:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                end.shutdown(socket.SHUT_RDWR)
            end.close()
