import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from mnemon.config import Problem, told
from mnemon.memory.contents import Contents, Entry
from mnemon.memory.fingerprint import Fingerprint
from mnemon.memory.folder import clean, is_memory, locked, strangers
from mnemon.memory.index_file import State, read, read_state, watched

Used = TypeVar("Used")


def consistent(folder: Path, use: Callable[[Contents], Used]) -> Used:
    """What `use` makes of the memory in `folder`, begun again if a writer took away a file that it was to read."""
    while True:
        with watched(folder) as unchanged:
            state = read_state(folder)
            try:
                return use(state.contents)
            except FileNotFoundError as error:
                if unchanged() and read_state(folder).tip == state.tip:
                    (entry, *_) = [each for each in state.contents.documents if each.file == Path(error.filename).name]
                    raise Problem(
                        f"{error.filename}: document {entry}: the file is missing; put a copy in its place"
                    ) from None


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[Contents | None]:
    """Write to the memory in `folder` as the only one; gives what it holds, None if it is to be begun.

    Whether the body succeeds or fails: afterwards the folder has the files that its index names, and no others.
    """
    with told(folder), alone(folder) as before:
        yield before.contents if before else None


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[State | None]:
    """As `changing`, which says of every OSError that the folder cannot be written; here that is up to the body."""
    if not is_memory(folder):
        _begin(folder)
    else:
        read(folder)  # nothing, not even a lock, is put into a folder that is no memory
    with contextlib.ExitStack() as stack:
        with told(folder):
            stack.enter_context(locked(folder))
            before = _settled(folder)
        try:
            yield before
        except BaseException:
            with contextlib.suppress(OSError):  # the next writer removes what is left
                _settled(folder)
            raise
        with told(folder):
            _settled(folder)


def same(folder: Path, its: Fingerprint, expected: Fingerprint, whose: str = "this one") -> None:
    differs = expected.differs(its)
    if differs:
        raise Problem(f"{folder}: another model's memory than {whose}: {differs}; its documents must be read anew")


def there(folder: Path, entry: Entry) -> bool:
    path = folder / entry.file
    return path.is_file() and path.stat().st_size == entry.bytes


def _begin(folder: Path) -> None:
    with told(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        strange = strangers(folder)
    if strange:
        raise Problem(f"{folder}: no memory, but a folder with {strange[0]!r} in it; give a new one")


def _settled(folder: Path) -> State | None:
    """What the folder holds, after files that its index does not name were removed."""
    state = read_state(folder) if is_memory(folder) else None
    clean(folder, state.files if state else ())
    return state
