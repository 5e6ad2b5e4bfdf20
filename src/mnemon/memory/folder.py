import contextlib
import errno
import importlib
import mmap
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from mnemon.config import Problem, sync_folder

INDEX, LOCK = "index.json", ".lock"
DOCUMENT = re.compile(r"[0-9a-f]{64}\.safetensors")  # named after its content
PART = re.compile(r"[0-9a-f]{64}\.json")  # of the index, named after the content of what it follows
UNFINISHED = re.compile(r"\.new-[0-9a-f]{16}")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_memory(folder: str | Path) -> bool:
    """Whether a memory was saved to `folder`; one that was begun, and not written before its writer died, is none."""
    return os.path.exists(Path(folder) / INDEX)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the one process that writes to `folder`, or a `Problem`; readers do not ask.

    The lock is advisory (`flock`), ends with the process however that ends, and needs a POSIX system.
    """
    if os.name != "posix":
        raise Problem(f"{folder}: a memory is written on POSIX systems alone, where files can be locked")
    fcntl = importlib.import_module("fcntl")  # reading, and a memory that is not saved, need no lock
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.pread(handle, 200, 0).decode("utf-8", "replace").strip() or "just begun"
            raise Problem(
                f"{folder}: another process ({who}) is writing this memory; wait until it has ended"
            ) from None
        with contextlib.suppress(
            OSError
        ):  # a full disk keeps nobody from forgetting: this is only what others are told
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()} on {os.uname().nodename}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def put(path: Path, parts: Collection[bytes | memoryview | mmap.mmap], what: str) -> None:
    """Write `path` from `parts`, whole or not at all, for its owner's eyes; `what` it is stands in the `Problem`."""
    temporary = path.with_name(f".new-{secrets.token_hex(8)}")
    try:
        try:
            _write(temporary, parts)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise Problem(f"{path.parent}: {what} could not be written ({_why(error, path.parent, parts)})") from None


def _write(path: Path, parts: Iterable[bytes | memoryview | mmap.mmap]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(handle)


def _why(error: OSError, folder: Path, parts: Iterable[bytes | memoryview | mmap.mmap]) -> str:
    said = error.strerror or str(error)
    if error.errno not in FULL:
        return f"{said}; what was there before is untouched"
    needed = sum(memoryview(part).nbytes for part in parts)
    free = shutil.disk_usage(folder).free
    return f"{said}: it needs {needed:,} bytes, {free:,} are free; what was there before is untouched, make room"


def clean(folder: Path, named: Collection[str]) -> None:
    """Remove documents and parts of an index that are not `named`, and what was left unfinished; others' files stay."""
    left = unnamed(folder, named)
    for name in left:
        (folder / name).unlink()
    if left:
        sync_folder(folder)


def unnamed(folder: Path, named: Collection[str]) -> list[str]:
    """Files of ours in `folder` that are not `named`, sorted."""
    return sorted(path.name for path in folder.iterdir() if _ours(path.name) and path.name not in named)


def strangers(folder: Path) -> list[str]:
    """Names in `folder` that are none of a memory's, sorted."""
    return sorted(path.name for path in folder.iterdir() if path.name not in (INDEX, LOCK) and not _ours(path.name))


def _ours(name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in (DOCUMENT, PART, UNFINISHED))
