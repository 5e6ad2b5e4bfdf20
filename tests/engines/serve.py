"""Run by the interpreter that has the `milvus` wheel: a real server that only this machine can reach.

    python serve.py FOLDER PORT

The server listens on all interfaces, so it gets a network of its own (`unshare`), with nothing in it but a loopback.
What leads there is a socket on 127.0.0.1:PORT, opened before; connections to it are carried over.
"""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import sys
import threading

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
INSIDE = 19530


def leave_the_network() -> None:
    """Have a network of one's own, with its loopback up."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) and libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network of its own for the server")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", IFF_UP, b""))


def carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def accept(door: socket.socket) -> None:
    while True:
        outer, _ = door.accept()
        try:
            inner = socket.create_connection(("127.0.0.1", INSIDE))
        except OSError:
            outer.close()
            continue
        for ends in ((outer, inner), (inner, outer)):
            threading.Thread(target=carry, args=ends, daemon=True).start()


def main(folder: str, port: int) -> None:
    door = socket.create_server(("127.0.0.1", port))
    leave_the_network()
    from milvus import MilvusServer  # noqa: PLC0415  # reads the network's ports when it is imported

    server = MilvusServer()
    server.set_base_dir(folder)
    server.start()
    threading.Thread(target=accept, args=(door,), daemon=True).start()
    sys.stdout.write(f"{server.server_proc.pid}\n")
    sys.stdout.flush()
    sys.stdin.read()  # until whoever started this is gone
    server.stop()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
