import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memories import FINGERPRINT, document, equal, files, saved
from mnemon.config import Problem
from mnemon.memory import check, forget, load, merge, save
from mnemon.memory.folder import locked

TESTS = Path(__file__).parents[2]


def python(code: str, *words: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Run code in a process of its own, which can import the tests' modules."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    command = [*before, sys.executable, "-W", "ignore", "-c", code, *map(str, words)]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate()
    assert process.returncode == 0, error
    return out


# Each act is done by children that are killed before their first call to the system that can change the disk, before
# their second (which is after their first), and so on, until one lives to its end.
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from memories import FINGERPRINT, document, saved
from mnemon.memory import forget, load, merge, save

CALLS = ["open", "write", "fsync", "replace", "unlink", "mkdir"]
ACTS = {
    "save": lambda m: save(m, [document("two", seed=1), document("new", seed=7)], FINGERPRINT),
    "forget": lambda m: forget(m, "one"),
    "begin": lambda m: save(m.with_name("begun"), [document("new", seed=7)], FINGERPRINT),
    "merge": lambda m: merge(m.with_name("merged"), [m]),
}
def dying(call, left):
    def run(*a, **k):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*a, **k)
    return run

def lives(act, place, at):
    memory = shutil.copytree(Path(sys.argv[1], "m"), place / "m")
    pid = os.fork()
    if not pid:
        left = [at]
        for name in CALLS:
            setattr(os, name, dying(getattr(os, name), left))
        ACTS[act](memory)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL)
    return status == 0

saved(Path(sys.argv[1], "m"))
for act in ACTS:
    at = 1
    while not lives(act, Path(sys.argv[1], act, str(at)), at):
        at += 1
"""


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every child left, by act and moment."""
    folder = tmp_path_factory.mktemp("killed")
    said(python(KILLED, folder))
    return folder


@pytest.mark.parametrize("act", ["save", "forget", "begin", "merge"])
def test_killed_at_any_moment_leaves_the_old_memory_or_the_new_one(left: Path, act: str) -> None:
    places = list((left / act).iterdir())
    assert len(places) > {"save": 14, "forget": 7, "begin": 12, "merge": 14}[act]
    one, two, new = document("one"), document("two", seed=1), document("new", seed=7)
    outcomes = {
        "save": [[one, two], [two, new]],
        "forget": [[one, two], [two]],
        "begin": [None, [new]],
        "merge": [None, [one, two]],
    }[act]
    seen = set()
    for place in places:
        folder = place / {"begin": "begun", "merge": "merged"}.get(act, "m")
        found = load(folder, verify=True)[1] if (folder / "index.json").exists() else None
        (which,) = [at for at, wanted in enumerate(outcomes) if _same(found, wanted)]
        seen.add(which)
        # The next writer is not kept out, and leaves nothing of what died.
        save(folder, [*(found or []), document("later", seed=9)], FINGERPRINT)
        assert check(folder) == []
        assert [each.name for each in load(folder)[1]] == [*(each.name for each in found or []), "later"]
    assert seen == {0, 1}


def _same(found: list | None, wanted: list | None) -> bool:  # type: ignore[type-arg]
    if found is None or wanted is None:
        return found is wanted
    return len(found) == len(wanted) and all(equal(a, b) for a, b in zip(found, wanted, strict=True))


FILLED = """
import os, resource, sys
from pathlib import Path
from memories import FINGERPRINT, document, files, saved
from mnemon.config import Problem
from mnemon.memory import check, forget, load, save

m = saved(Path(sys.argv[1]) / "m")

def filled():
    before = files(m)
    try:
        save(m, [*load(m)[1], document("big", n=8_000)], FINGERPRINT)
    except Problem as problem:
        print(problem)
    assert files(m) == before
    assert check(m) == []

if os.statvfs(m).f_blocks * os.statvfs(m).f_frsize == 1 << 18:
    filled()
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 17, 1 << 17))
filled()
save(m, [*load(m)[1], document("small", seed=4)], FINGERPRINT)  # there is room for this one
forget(m, "one")
assert check(m) == []
"""


def test_a_full_disk_is_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    """On a small disk of its own, where one may be mounted; and under a limit on the size of files."""
    mounted = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=256k none "$0" && exec "$@"', str(tmp_path))
    may = shutil.which("unshare") and subprocess.run([*mounted, "true"], capture_output=True).returncode == 0
    *full, limited = said(python(FILLED, tmp_path, before=mounted if may else ())).splitlines()
    assert len(full) == bool(may)
    for line, why in [*((line, "No space left on device") for line in full), (limited, "File too large")]:
        assert line.startswith(f"{tmp_path / 'm'}: document 'big' could not be written ({why}: it needs 1,544,")
        assert line.endswith(" are free; what was there before is untouched, make room)")
        assert ", 0 are free" not in line


HOLDING = """
import sys
from pathlib import Path
from mnemon.memory.folder import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_of_two_processes_the_second_writer_gets_one_line_and_readers_read(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    before = files(folder)
    other = python(HOLDING, folder)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    for act in (lambda: save(folder, [], FINGERPRINT), lambda: forget(folder, "one")):
        with pytest.raises(
            Problem, match=r"m: another process \(\d+ on .+\) is writing this memory; wait until it has ended"
        ):
            act()
    assert len(load(folder)[1]) == 2
    assert files(folder) == before
    assert len(merge(tmp_path / "merged", [folder]).documents) == 2
    other.send_signal(signal.SIGKILL)  # a lock ends with its process, however that ends
    other.communicate()
    assert forget(folder, "one").entries == 7


def test_a_writer_keeps_out_the_next_one_in_its_own_process(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    with locked(folder), pytest.raises(Problem, match="another process"):
        forget(folder, "one")
    forget(folder, "one")


# Looks at the memory again and again; what it sees is always some memory of the writer's, whole.
READING = """
import sys
from pathlib import Path
from memories import document, equal
from mnemon.memory import load

wanted = {name: document(name, seed=seed) for seed, name in enumerate("abc")}
seen = set()
print("reading", flush=True)
while not Path(sys.argv[1], "..", "done").exists():
    found = load(sys.argv[1])[1]
    assert all(equal(each, wanted[each.name]) for each in found)
    seen.add("".join(each.name for each in found) or "none")
print(*seen)
"""


def test_a_reader_beside_a_writer_sees_one_memory_or_the_other(tmp_path: Path) -> None:
    states = {"ab", "b", "bc", "ac", "none"}
    documents = {name: document(name, seed=seed) for seed, name in enumerate("abc")}
    folder = saved(tmp_path / "m", [])
    with python(READING, folder) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        for _ in range(8):
            for state in sorted(states):
                save(folder, [documents[name] for name in state if name in documents and state != "none"], FINGERPRINT)
        (tmp_path / "done").touch()
        seen = set(said(reader).split())
    assert seen <= states
    assert len(seen) > 1
