"""What strikes a process while it changes the disk. A process does this to itself, and is of no use afterwards."""

import errno
import functools
import os
import random
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Calls before which it may happen. Those that need room fail on a full disk; files of others are written by fsync.
NEED_ROOM = ("open", "write", "pwrite", "fsync", "fdatasync", "replace", "rename", "mkdir")
CALLS = (*NEED_ROOM, "unlink", "rmdir", "ftruncate")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class Calls:
    """Counts calls that change the disk, and has `strike` called with the name of each from number `at` on.

    It knows what a power cut may undo: files that were written and not synced, places in older files, and names that
    were given and whose folder was not synced.
    """

    at: int
    strike: Callable[["Calls", str], None]
    seen: int = 0
    files: dict[str, None] = field(default_factory=dict)
    names: list[tuple[str, str | None]] = field(default_factory=list)
    places: list[tuple[str, int, bytes]] = field(default_factory=list)
    handles: dict[int, str] = field(default_factory=dict)

    def watch(self) -> None:
        """From now on, for the rest of this process."""
        for name in CALLS:
            setattr(os, name, functools.partial(self._call, name, getattr(os, name)))

    def _call(self, name: str, call: Callable[..., Any], *words: Any, **more: Any) -> Any:
        if name == "open" and not words[1] & WRITES:
            handle = call(*words, **more)
            self.handles[handle] = os.fspath(words[0])
            return handle
        self.seen += 1
        if self.seen >= self.at:
            self.strike(self, name)
        before = self._kept(words[1]) if name in ("replace", "rename") else None
        if name == "pwrite" and (path := self.handles.get(words[0], "")) not in self.files:
            self.places.append((path, words[2], os.pread(words[0], len(words[1]), words[2])))
        found = call(*words, **more)
        self._note(name, words, found, before)
        return found

    def _note(self, name: str, words: tuple[Any, ...], found: Any, before: str | None) -> None:
        if name == "open":
            self.handles[found] = os.fspath(words[0])
            if words[1] & os.O_EXCL:
                self.files[os.fspath(words[0])] = None
        elif name in ("fsync", "fdatasync"):
            path = self.handles.get(words[0], "")
            self.files.pop(path, None)
            self.places = [each for each in self.places if each[0] != path]
            self.names = [each for each in self.names if os.path.dirname(each[0]) != path]
        elif name in ("replace", "rename"):
            source, target = map(os.fspath, words)
            if source in self.files:
                del self.files[source]
                self.files[target] = None
            self.names.append((target, before))

    @staticmethod
    def _kept(target: Any) -> str | None:
        """A second name, outside the folder, of the file that is about to lose `target`."""
        path = Path(target)
        if not path.is_file():
            return None
        second = path.parent.parent / f"{path.name}.{random.getrandbits(64):x}.before"
        os.link(path, second)
        return str(second)

    def cut_power(self, draw: random.Random) -> None:
        """What a power cut now may do to what was not synced."""
        for path in self.files:
            with suppress(OSError):
                os.truncate(path, draw.randint(0, os.path.getsize(path)))
        for path, at, said in reversed(self.places):
            with suppress(OSError), open(path, "r+b") as file:
                file.seek(at)
                file.write(said[: draw.randint(0, len(said))])
        for target, before in reversed(self.names):
            if os.path.isfile(target) and draw.random() < 0.5:
                if before is None:
                    real("unlink")(target)
                else:
                    real("replace")(before, target)


def real(name: str) -> Callable[..., Any]:
    """A function of `os` as it was before it was watched."""
    call = getattr(os, name)
    return call.args[1] if isinstance(call, functools.partial) else call


@dataclass(frozen=True)
class Strike:
    """What happens: `kind` at call number `at`, or with files limited to `at` bytes; `seed` draws what is left open.

    "count" lets everything happen, "kill" ends the process with SIGKILL, "power" does so and undoes what was not
    synced, "full" has no more room, "limit" is a limit on the size of files.
    """

    kind: str
    at: int = 1
    seed: int = 0

    def begin(self) -> Calls:
        """Let it strike this process from now on."""
        if self.kind == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.at, self.at))
        calls = Calls(self.at if self.kind in ("kill", "power", "full") else 1 << 60, self._strikes)
        calls.watch()
        return calls

    def _strikes(self, calls: Calls, name: str) -> None:
        if self.kind == "full":
            if name in NEED_ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return
        if self.kind == "power":
            calls.cut_power(random.Random(self.seed))
        os.kill(os.getpid(), signal.SIGKILL)
