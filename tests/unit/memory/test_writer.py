import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from memories import FINGERPRINT, document, equal, files, saved
from mnemon.config import Problem
from mnemon.memory import Document, check, forget, load, read_contents, save, writing

GOLDEN = Path(__file__).parents[2] / "golden" / "memory-1"  # as version 1 wrote it


def names(folder: Path) -> list[str]:
    return [each.name for each in load(folder, verify=True)[1]]


def parts(folder: Path) -> list[str]:
    return [name for name in files(folder) if name.endswith(".json") and name != "index.json"]


def shorter(whole: Document, lost: int) -> Document:
    keys, values = ({at: x[:, lost:] for at, x in side.items()} for side in (whole.keys, whole.values))
    return replace(
        whole,
        tokens=whole.tokens[lost:],
        spans=whole.spans[lost:],
        positions=whole.positions[lost:],
        keys=keys,
        values=values,
    )


def test_a_change_is_on_the_disk_when_it_returns_and_costs_what_is_new(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", [])
    with writing(folder, FINGERPRINT) as writer:
        for number in range(10):
            before = files(folder)
            writer.change([document(f"d{number}", seed=number)])
            assert names(folder) == [f"d{at}" for at in range(number + 1)]
            now = files(folder)
            assert before.items() <= now.items()  # nothing is written anew
            assert sum(map(len, now.values())) - sum(map(len, before.values())) < 3000
        assert len(parts(folder)) == 10
    assert parts(folder) == []
    assert files(folder) == files(saved(tmp_path / "same", [f"d{at}" for at in range(10)]))


def test_many_parts_become_one_index_again_and_again(tmp_path: Path) -> None:
    most = 0
    with writing(tmp_path / "m", FINGERPRINT) as writer:
        for number in range(40):
            writer.change([document(f"d{number}", n=1, seed=number)])
            most = max(most, len(parts(tmp_path / "m")))
    assert most == 15
    assert len(names(tmp_path / "m")) == 40


def test_documents_come_and_go_in_one_change(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", ["one", "two", "three"])
    with writing(folder, FINGERPRINT) as writer:
        new = replace(document("two", seed=9), text="Another text, longer than before.")
        writer.change([new], gone=[("", "two"), ("", "three")])
        assert names(folder) == ["one", "two"]
        assert equal(load(folder)[1][1], new)
        assert len(list(folder.glob("*.safetensors"))) == 2
        twin = replace(document("one"), name="twin")
        writer.change([twin])
        writer.change(gone=[("", "one")])
        assert equal(load(folder)[1][1], twin)  # their file is the same, and is still needed
        with pytest.raises(Problem, match="there are two of that name"):
            writer.change([document("two")])
    assert check(folder) == []


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_document_that_lost_its_oldest_entries_keeps_its_file_until_most_of_it_is_lost(
    tmp_path: Path, precision: str
) -> None:
    folder, whole = tmp_path / "m", document("one", n=10)
    with writing(folder, FINGERPRINT, precision) as writer:
        writer.change([document("before"), whole, document("after", seed=2)])
        kept = load(folder)[1][1]
        file = writer.entries[("", "one")].file
        for lost in (3, 5, 6, 8):
            writer.change(cut={("", "one"): shorter(kept, lost)})
            assert names(folder) == ["before", "one", "after"]
            assert equal(load(folder, verify=True)[1][1], shorter(kept, lost))
            assert (writer.entries[("", "one")].file == file) == (lost < 6)
            assert check(folder) == []
        assert not (folder / file).exists()
    assert equal(load(folder)[1][1], shorter(kept, 8))


def test_a_memory_of_version_1_is_read_and_written_on(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN, tmp_path / "m"))
    one, two = document("one"), document("two", n=5, seed=1, namespace="b")
    assert check(folder) == []
    assert all(equal(*pair) for pair in zip(load(folder)[1], [one, two], strict=True))
    assert files(folder) == files(GOLDEN)
    with writing(folder, FINGERPRINT) as writer:
        writer.change([document("three")])
        assert names(folder) == ["one", "two", "three"]
    forget(folder, "two")
    assert names(folder) == ["one", "three"]
    assert '"version": 2' in (folder / "index.json").read_text()


def test_parts_of_an_index_that_is_no_more_are_nobodys(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", ["one"])
    with writing(folder, FINGERPRINT) as writer:
        writer.change([document("two", seed=1)])
        (name,) = parts(folder)
        part = (folder / name).read_bytes()
        writer.compact()
    (folder / name).write_bytes(part)
    assert names(folder) == ["one", "two"]
    assert [each.file for each in check(folder)] == [name]
    save(folder, load(folder)[1], FINGERPRINT)
    assert check(folder) == []


def test_every_flipped_bit_and_cut_of_a_part_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", ["one"])
    with writing(folder, FINGERPRINT) as writer:
        writer.change([document("two", seed=1)])
        shutil.copytree(folder, tmp_path / "c")
    (name,) = parts(tmp_path / "c")
    path = tmp_path / "c" / name
    raw = path.read_bytes()
    for at in range(0, len(raw) - 1, 37):
        for damaged in (raw[:at], raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(Problem, match=name):
                load(tmp_path / "c")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Calls of fsync that are left until the disk is full."""
    left, sync = [1 << 30], os.fsync

    def fsync(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return left


@pytest.mark.parametrize("calls", range(5))
def test_a_change_that_the_disk_refuses_leaves_a_writer_that_goes_on(
    tmp_path: Path, full: list[int], calls: int
) -> None:
    folder = saved(tmp_path / "m", ["one", "two"])
    with writing(folder, FINGERPRINT) as writer:
        writer.change([document("three", seed=3)])
        full[0] = calls
        with pytest.raises(Problem, match="No space left"):
            writer.change([document("four", seed=4)], gone=[("", "one")])
        full[0] = 1 << 30
        assert names(folder) == [name for _, name in writer.entries]
        assert check(folder) == []
        writer.change([document("five", seed=5)])
        assert names(folder)[-1] == "five"
    assert names(folder)[:3] in (["one", "two", "three"], ["two", "three", "four"])
    assert check(folder) == []
    assert read_contents(folder).documents[-1].name == "five"
