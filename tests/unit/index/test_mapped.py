import contextlib
import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mnemon.config import Problem
from mnemon.index import MappedStore, StoreShape, find_store, mapped, mapped_folder
from mnemon.index.mapped_folder import ORPHAN
from stores import DIM, HEADS, ROWS, Stream

SHAPE = StoreShape(ROWS, HEADS, 7, DIM, "float32")


def kept(folder: Path) -> Stream:
    """A stream into a store that stays in `folder`."""
    rows = Stream(find_store("mmap"), 7)
    rows.store = MappedStore.create(folder, SHAPE)
    return rows


def reopened(rows: Stream) -> MappedStore:
    assert isinstance(rows.store, MappedStore)
    rows.store.close()
    rows.store = MappedStore.open(rows.store.folder)
    return rows.store


def test_a_reopened_store_is_what_it_was_and_goes_on(tmp_path: Path) -> None:
    rows = kept(tmp_path / "store")
    for step in ([3, 0, 5], [0, 1, 5], (True, False, False), [18, 8, 7], (False, True, True), [2, 3, 0]):
        if isinstance(step, tuple):
            rows.reset(step)
        else:
            rows.write(step)
        reopened(rows)
        rows.check()


def test_what_was_not_committed_was_never_written(tmp_path: Path) -> None:
    """Whatever a killed process had put into the files of its next write: rows are full, so that this overwrites."""
    rows = kept(tmp_path / "store")
    rows.write([7, 9, 20])
    store = rows.store
    assert isinstance(store, MappedStore)
    noise = {name: torch.full((HEADS, 7, DIM), torch.nan) for name in ("keys", "values")}
    for row in range(ROWS):
        store._data.put(row, int(store.written[row]), noise | {"positions": torch.full((7,), -9)}, 0, 7)
    reopened(rows)
    rows.check()


def test_a_count_that_is_damaged_takes_nothing_back(tmp_path: Path) -> None:
    """It stands twice; the damaged one is the first to be written again."""
    rows = kept(tmp_path / "store")
    rows.write([3, 1, 2])
    rows.write([1, 1, 1])
    counts = tmp_path / "store" / "data-0" / "counts"
    held, width = counts.read_bytes(), counts.stat().st_size // 2
    for place in (0, 1):
        counts.write_bytes(held[: place * width + 20] + b"\xff" * 8 + held[place * width + 28 :])
        assert reopened(rows).written.tolist() == [4, 2, 3]
    rows.reset([True, False, False])
    counts.write_bytes(b"\xff" * width + counts.read_bytes()[width:])
    assert reopened(rows).written.tolist() == [0, 2, 3]
    counts.write_bytes(b"\0" * len(held))
    with pytest.raises(Problem, match="neither of its two counts is whole"):
        reopened(rows)


def test_a_count_that_was_cut_short_leaves_the_one_before(tmp_path: Path) -> None:
    rows = kept(tmp_path / "store")
    rows.write([3, 1, 2])
    counts = tmp_path / "store" / "data-0" / "counts"
    before, width = counts.read_bytes(), counts.stat().st_size // 2
    rows.write([1, 1, 1])
    counts.write_bytes(b"\xff" * 30 + before[30:])
    assert reopened(rows).written.tolist() == [3, 1, 2]
    rows.write([1, 1, 1])
    counts.write_bytes(counts.read_bytes()[:width] + before[width:])
    assert reopened(rows).written.tolist() == [4, 2, 3]


@pytest.mark.parametrize("name", ["keys", "values", "positions", "digests"])
def test_a_bit_that_turned_over_is_told(tmp_path: Path, name: str) -> None:
    rows = kept(tmp_path / "store")
    rows.write([7, 9, 20])
    assert isinstance(rows.store, MappedStore)
    rows.store.close()
    path = tmp_path / "store" / "data-0" / name
    raw = bytearray(path.read_bytes())
    heads = 1 if name == "positions" else HEADS
    raw[len(raw) // ROWS + 5 * len(raw) // (ROWS * heads * SHAPE.slots)] ^= 8  # slot 5 of the second row
    path.write_bytes(raw)
    with pytest.raises(Problem, match="data-0: damaged: row 1, head 0, slot 5 is not what was written there"):
        MappedStore.open(tmp_path / "store", verify=True)
    store = MappedStore.open(tmp_path / "store")
    for act in (lambda: store.find(torch.ones(3, HEADS, 1, DIM), 7, torch.arange(3)), store.compact, store.tensors):
        with pytest.raises(Problem, match="damaged"):
            act()
    store.reset(torch.tensor([False, True, False]))
    store.compact()
    store.verify()


CHILD = """
import sys, torch
from pathlib import Path
from mnemon.index import MappedStore
from mnemon.index.mapped_folder import StoreShape
store = MappedStore.create(Path(sys.argv[1]), StoreShape(2, 1, 50, 2, "float32"))
for e in range(0, 100_000, 20):
    there = torch.arange(e, e + 20).float()
    both = torch.stack([there, -there], dim=-1).expand(2, 1, 20, 2)
    store.write(both, -both, there.long().expand(2, 20), torch.tensor([20, 20]))
    print(e + 20, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_said_was_written(tmp_path: Path) -> None:
    place = tmp_path / "store"
    writer = subprocess.Popen([sys.executable, "-c", CHILD, str(place)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(random.randint(3, 40)):
        said = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    rest = writer.stdout.read().split()
    writer.wait()
    writer.stdout.close()
    said = int(rest[-1]) if rest else said
    store = MappedStore.open(place)
    written = int(store.written[0])
    assert written >= said
    held = torch.arange(max(0, written - 50), written)
    found = store.find(torch.ones(2, 1, 1, 2), 50, torch.arange(2))
    assert found is not None
    for row in range(2):
        places = found.places()[row, 0, 0]
        assert sorted(places.tolist()) == held.tolist()
        ids = found.ids[row, 0, 0]
        assert torch.equal(found.keys[row, 0, ids], torch.stack([places, -places], -1).float())
        assert torch.equal(found.values[row, 0, ids], -found.keys[row, 0, ids])


def test_a_store_is_open_once(tmp_path: Path) -> None:
    rows = kept(tmp_path / "store")
    with pytest.raises(Problem, match="open already"):
        MappedStore.open(tmp_path / "store")
    reopened(rows)


def _say(folder: Path, old: str, new: str) -> None:
    path = folder / "store.json"
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "store.json").unlink(), "there is no store in this folder"),
        (lambda folder: (folder / "store.json").write_text('{"format": 7}'), "a store of format 7, where"),
        (lambda folder: (folder / "store.json").write_text('{"format": 2}'), "store.json: damaged"),
        (lambda folder: (folder / "store.json").write_text("[1]"), "store.json: damaged"),
        (lambda folder: _say(folder, "data-0", "data-1"), "store.json: damaged"),
        (lambda folder: os.truncate(folder / "data-0" / "keys", 100), "100 bytes where 1,344 belong"),
        (lambda folder: os.truncate(folder / "data-0" / "values", 0), "0 bytes where 1,344 belong"),
        (lambda folder: (folder / "data-0" / "positions").unlink(), "positions: cannot be opened"),
    ],
)
def test_a_damaged_store_says_what_is_wrong(tmp_path: Path, harm: object, message: str) -> None:
    rows = kept(tmp_path / "store")
    assert isinstance(rows.store, MappedStore)
    rows.store.close()
    assert callable(harm)
    harm(tmp_path / "store")
    there = sorted((tmp_path / "store").rglob("*"))
    with pytest.raises(Problem, match=message):
        MappedStore.open(tmp_path / "store")
    assert sorted((tmp_path / "store").rglob("*")) == there, "nothing is removed"


def test_a_folder_that_holds_something_is_not_begun_in(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(Problem, match="there is something already"):
        MappedStore.create(tmp_path, SHAPE)
    with pytest.raises(Problem, match=r"folder '.*gone' is none that can be written to"):
        find_store(f"mmap:folder={tmp_path / 'gone'}").check()


def test_a_place_where_no_folder_can_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so that what the system says of some places is only known when they are tried."""

    def refused(prefix: str, dir: Path) -> str:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(mapped_folder.tempfile, "mkdtemp", refused)
    with pytest.raises(Problem, match=r"cannot be written \(Read-only file system\)"):
        find_store(f"mmap:folder={tmp_path}").empty(1, 1, 16, 8, like=torch.empty(0))


def test_a_full_disk_is_said_and_what_was_stored_stays(tmp_path: Path) -> None:
    shape = StoreShape(1, 1, 4000, 4, "float32")
    store = MappedStore.create(tmp_path / "store", shape)
    x = torch.randn(1, 1, 3000, 4)
    places = torch.arange(3000)[None]
    store.write(x[:, :, :100], x[:, :, :100], places[:, :100], torch.tensor([100]))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(Problem, match="cannot be written"):
            store.write(x, x, places, torch.tensor([3000]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store.close()
    assert MappedStore.open(tmp_path / "store").written.tolist() == [100]


def test_a_compaction_that_finds_no_room_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written afterwards is there when the store is opened again."""
    refused = 0
    for at in (1, 6, 30, 54, 57):  # the last ones: while its new place is described
        rows, calls = kept(tmp_path / str(at)), [at]
        rows.write([7, 9, 20])

        def full(name: str, calls: list[int] = calls) -> object:
            real = getattr(os, name)

            def call(*words: object) -> object:
                calls[0] -= 1
                if calls[0] <= 0:
                    raise OSError(errno.ENOSPC, "no room")
                return real(*words)

            return call

        assert isinstance(rows.store, MappedStore)
        with monkeypatch.context() as within:
            for name in ("open", "pwrite", "fsync", "fdatasync", "replace", "mkdir", "ftruncate"):
                within.setattr(os, name, full(name))
            with contextlib.suppress(Problem):
                rows.store.compact()
            refused += calls[0] <= 0
        rows.write([2, 3, 1])
        reopened(rows)
        rows.check()
    assert refused == 5


def test_compaction_gives_back_what_is_held_no_more(tmp_path: Path) -> None:
    shape = StoreShape(2, 1, 4000, 16, "float32")
    store = MappedStore.create(tmp_path / "store", shape)
    x = torch.randn(2, 1, 3000, 16)
    store.write(x, -x, torch.arange(3000).expand(2, 3000), torch.tensor([3000, 3000]))
    full = store.bytes_on_disk()
    store.reset(torch.tensor([True, False]))
    assert store.bytes_on_disk() > 0.9 * full
    before = store.find(x[:, :, :3], 5, torch.arange(2))
    store.compact()
    after = store.find(x[:, :, :3], 5, torch.arange(2))
    assert before is not None
    assert after is not None
    assert torch.equal(before.places(), after.places())
    assert store.bytes_on_disk() < 0.6 * full
    store.close()
    (tmp_path / "store" / "data-9").mkdir()  # of a compaction that was cut short
    again = MappedStore.open(tmp_path / "store")
    assert again.written.tolist() == [0, 3000]
    assert sorted(path.name for path in (tmp_path / "store").glob("data-*")) == ["data-1"]


def test_stores_of_a_memory_are_removed_with_it_and_those_of_killed_processes_too(tmp_path: Path) -> None:
    kind = find_store(f"mmap:folder={tmp_path}")
    first, second = (kind.empty(1, 1, 4, 2, torch.empty(0)) for _ in range(2))
    assert len(list(tmp_path.iterdir())) == 2
    del first
    assert len(list(tmp_path.iterdir())) == 1
    left = tmp_path / "mnemon-store-left"
    left.mkdir()
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 2 * ORPHAN,) * 2)
    third = kind.empty(1, 1, 4, 2, torch.empty(0))
    assert not left.exists(), "nobody held it open"
    assert len(list(tmp_path.iterdir())) == 2
    assert (second.size, third.size) == (4, 4)


def test_large_rows_are_searched_in_blocks_as_if_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "TILE_BYTES", 1)
    store, ring = (find_store(name).empty(1, 2, 3000, 4, torch.empty(0)) for name in ("mmap", "exact"))
    x, v = torch.randn(1, 2, 5000, 4), torch.randn(1, 2, 5000, 4)
    q, before = torch.randn(1, 2, 3, 4), torch.tensor([[5000, 2600, 10]])
    for each in (store, ring):
        each.write(x, v, torch.arange(5000)[None], torch.tensor([5000]))
    for limit in (None, before):
        found, best = (each.find(q, 9, torch.tensor([0]), limit) for each in (store, ring))
        assert found is not None
        assert best is not None
        torch.testing.assert_close(found.scores, best.scores)
        assert torch.equal(found.places(), best.places())


def _bytes_of(tensors: dict[str, Tensor]) -> int:
    return sum(each.numel() * each.element_size() for each in tensors.values())


def test_what_is_saved_is_as_large_as_what_was_written() -> None:
    store = find_store("mmap").empty(1, 1, 1 << 20, 64, torch.empty(0))
    x = torch.randn(1, 1, 10, 64)
    store.write(x, x, torch.arange(10)[None], torch.tensor([10]))
    assert _bytes_of(store.tensors()) < 10 * (2 * 64 * 4 + 8) + 100


def test_no_more_is_written_before_a_commit_than_what_is_held_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write of more than a capacity's worth that is cut short at its first commit has overwritten nothing."""
    rows = kept(tmp_path / "store")
    rows.write([7, 9, 20])
    store = rows.store
    assert isinstance(store, MappedStore)

    def cut(_: Tensor) -> None:
        raise Problem("cut short")

    monkeypatch.setattr(store, "commit", cut)
    with pytest.raises(Problem, match="cut short"):
        rows.write([20, 18, 16])
    reopened(rows)
    rows.check()
