import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mnemon.config.base import Problem


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """What the system refuses while `path` is written, such as a full disk, is a `Problem`."""
    try:
        yield
    except OSError as error:
        raise Problem(f"{path}: cannot be written ({error.strerror or error})") from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; renamed to `path` on success, removed on failure."""
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
        with told(path):
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)  # a power cut takes back a name that is not on the disk yet
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the whole new one."""
    with replacing(path) as temporary, told(path):
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value in `path`; a `Problem` if it is missing, unreadable or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Problem(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Problem(f"{path}: cannot be read as JSON ({error})") from None


def digest_of(values: Any) -> str:
    """A digest of a JSON value, however it is laid out in a file."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode("utf-8")).hexdigest()


def sync_folder(folder: Path) -> None:
    """Bring new names in `folder` to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
