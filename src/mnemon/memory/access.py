import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from mnemon.config import Problem
from mnemon.memory.contents import Contents, Entry, absent, read
from mnemon.memory.fingerprint import Fingerprint
from mnemon.memory.folder import INDEX, clean, locked, strangers

Used = TypeVar("Used")


def consistent(folder: Path, use: Callable[[Contents], Used]) -> Used:
    """What `use` makes of the memory in `folder`, begun again if a writer took away a file that it was to read."""
    while True:
        with watched(folder) as unchanged:
            contents = read(folder)
            try:
                return use(contents)
            except FileNotFoundError as error:
                if unchanged():
                    (entry, *_) = [each for each in contents.documents if each.file == Path(error.filename).name]
                    raise Problem(
                        f"{error.filename}: document {entry}: the file is missing; put a copy in its place"
                    ) from None


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[Callable[[], bool]]:
    """Gives the question whether the index is still the file that it was: every writer puts another in its place."""
    path = folder / INDEX
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        raise absent(folder) from None
    try:
        # While it is open no other file gets its number.
        yield lambda: os.path.samestat(os.fstat(handle), os.stat(path))
    finally:
        os.close(handle)


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[Contents | None]:
    """Write to the memory in `folder` as the only one; gives what it holds, None if it is to be begun.

    Whether the body succeeds or fails: afterwards the folder has the files that its index names, and no others.
    """
    if not os.path.exists(folder / INDEX):
        _begin(folder)
    else:
        read(folder)  # nothing, not even a lock, is put into a folder that is no memory
    try:
        with locked(folder):
            before = _present(folder)
            clean(folder, before.files if before else ())
            try:
                yield before
            finally:
                now = _present(folder)
                clean(folder, now.files if now else ())
    except OSError as error:
        raise Problem(f"{folder}: cannot be written ({error.strerror or error})") from None


def same(folder: Path, its: Fingerprint, expected: Fingerprint, whose: str = "this one") -> None:
    differs = expected.differs(its)
    if differs:
        raise Problem(f"{folder}: another model's memory than {whose}: {differs}; its documents must be read anew")


def there(folder: Path, entry: Entry) -> bool:
    path = folder / entry.file
    return path.is_file() and path.stat().st_size == entry.bytes


def _begin(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        strange = strangers(folder)
    except OSError as error:
        raise Problem(f"{folder}: cannot be written ({error.strerror or error})") from None
    if strange:
        raise Problem(f"{folder}: no memory, but a folder with {strange[0]!r} in it; give a new one")


def _present(folder: Path) -> Contents | None:
    return read(folder) if os.path.exists(folder / INDEX) else None
