"""Parts of the kit in this process, where no fault strikes."""

import os
import random
import shutil
from pathlib import Path

import pytest
import torch

from mnemon.config import Problem
from mnemon.index import find_store
from mnemon.memory import check, load, save
from mnemon.studies.faults import contending, reading, segments, striking, training
from mnemon.studies.faults.acts import ACTS, documents
from mnemon.studies.faults.damaging import DAMAGES, damage_checkpoint, damage_memory, memories
from mnemon.studies.faults.outcome import found_in, same, wrong_with
from mnemon.studies.faults.store_acts import STORES
from mnemon.studies.faults.store_damage import damage_store
from mnemon.studies.faults.striking import Calls, Strike
from mnemon.studies.faults.texts import FINGERPRINT, document


@pytest.mark.parametrize("name", ACTS)
def test_an_act_goes_through_its_states(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    act, seen = ACTS[name], []
    act.prepare(tmp_path)
    begun = found_in(tmp_path / act.folder)
    act.run(tmp_path, lambda step: seen.append((step, found_in(tmp_path / act.folder))))
    states = act.states(tmp_path)
    assert same(begun, states[0])
    assert {step for step, _ in seen if step} == set(range(1, len(states)))
    assert all(same(found, states[step]) for step, found in seen)
    assert wrong_with(tmp_path / act.folder, states, len(states) - 1) == []


@pytest.mark.parametrize("name", STORES)
def test_a_store_goes_through_its_states_and_harm_to_it_is_told(name: str, tmp_path: Path) -> None:
    kept, seen = STORES[name], []
    kept.prepare(tmp_path)
    states = kept.states(tmp_path)
    store = kept.open(tmp_path)
    segments.go(store, lambda step: seen.append(segments.held(store)))
    kept.close(store)
    assert seen == [(state, []) for state in states[1:]]
    assert len(states) == len({*states}) + (not kept.forgets) * 2  # a compaction changes nothing
    assert kept.wrong(tmp_path, states, len(states) - 1) == []
    assert "row 0: lost: [42, 43" in kept.wrong(tmp_path, states, 8)[0]
    assert "; row 1: not acknowledged, or back: [" in kept.wrong(tmp_path, states, 3)[0]
    assert kept.wrong(tmp_path, states, len(states) - 1, others=True) == ["row 2: lost: [0, 1, 2, 3, 4, 5]"]
    kept.other(tmp_path, seen.append)
    shutil.rmtree(tmp_path / "m", ignore_errors=True)
    assert kept.wrong(tmp_path / "gone", states, 0)[0].startswith("refused: ")


def test_another_value_is_told(tmp_path: Path) -> None:
    store = find_store("exact").empty(segments.ROWS, segments.HEADS, segments.SIZE, segments.DIM, torch.empty(0))
    segments.go(store, lambda step: None)
    store.tensors()["values"][1, 0, 3, 2] += 1
    store.tensors()["positions"][0, 1] = store.tensors()["positions"][0, 0]
    found, wrong = segments.held(store)
    assert [each.split(": position")[0] for each in wrong if each.startswith("row 1")] == ["row 1, head 0"]
    assert "row 0: twice: [" in segments.differs(found, segments.states(forgets=False)[-1])


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_to_a_store_is_told_or_harmless(name: str, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    STORES["mmap"].prepare(tmp_path / "base")
    store = STORES["mmap"].open(tmp_path / "base")
    segments.go(store, lambda step: None)
    STORES["mmap"].close(store)
    for number in range(12):
        outcome = damage_store(tmp_path / "base", tmp_path / str(number), name, random.Random(number))
        assert outcome.wrong == ()


def test_harm_is_told(tmp_path: Path) -> None:
    states = [documents("ab"), documents("abc"), documents("bc")]
    folder = tmp_path / "m"
    assert wrong_with(folder, states, 0) == ["there is no memory"]
    save(folder, documents("bc"), FINGERPRINT)
    assert wrong_with(folder, states, 0) == ["lost: a; not acknowledged, or back: c"]
    assert wrong_with(folder, states, 1) == []
    assert wrong_with(folder, [None, None], 0) == ["there is a memory"]
    (folder / "other").touch()
    assert wrong_with(folder, states, 1) == ["other: no file of a memory"]
    (folder / "index.json").write_text("{")
    assert "refused" in wrong_with(folder, states, 0)[0]


def test_a_second_writer_comes_again(tmp_path: Path) -> None:
    seen: list[int] = []
    save(tmp_path / "m", documents("a"), FINGERPRINT)
    contending.write(tmp_path, seen.append)
    assert seen == [1]
    assert [each.name for each in load(tmp_path / "m")[1]] == ["a", contending.NAME]
    with pytest.raises(Problem, match="two of that name"):
        contending.write(tmp_path, seen.append)


def test_a_training_is_done_and_its_checkpoints_stand_damage(tmp_path: Path) -> None:
    seen: list[int] = []
    (tmp_path / "run").mkdir()
    training.run(tmp_path, seen.append)
    training.run(tmp_path, seen.append)
    assert seen == [step for step, *_ in training.losses(tmp_path)] == list(range(1, training.STEPS + 1))
    for number, name in enumerate(DAMAGES):
        outcome = damage_checkpoint(tmp_path / "run", tmp_path / name, name, random.Random(number))
        assert outcome.struck is not None
        assert outcome.wrong == ()


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_to_a_memory_is_told_or_harmless(name: str, tmp_path: Path) -> None:
    memories(tmp_path)
    assert not any(check(tmp_path / kind) for kind in ("parts", "int8"))
    for number in range(8):
        place = tmp_path / str(number)
        place.mkdir()
        outcome = damage_memory(tmp_path / ("parts", "int8")[number % 2], place, name, random.Random(number))
        assert outcome.wrong == ()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts back what `Calls.watch` sets."""
    for name in striking.CALLS:
        monkeypatch.setattr(os, name, getattr(os, name))


class Dead(BaseException):
    """Instead of SIGKILL."""


@pytest.mark.usefixtures("watched")
def test_a_power_cut_takes_back_what_was_not_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(*words: object) -> None:
        raise Dead

    seen = set()
    for seed in range(12):
        folder = tmp_path / str(seed) / "m"
        folder.mkdir(parents=True)
        (folder / "old").write_text("old")
        with monkeypatch.context() as within:
            within.setattr(os, "kill", dead)
            for name in striking.CALLS:
                within.setattr(os, name, getattr(os, name))
            Strike("power", 5, seed).begin()
            with pytest.raises(Dead):
                with os.fdopen(os.open(folder / "new", os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                    file.write(b"new one")
                    file.flush()
                    if seed % 2:
                        os.fsync(file.fileno())
                os.replace(folder / "new", folder / "old")
                os.unlink(tmp_path / "none") if seed % 2 == 0 and (tmp_path / "none").exists() else None
                for _ in range(5):
                    os.ftruncate(os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT), 0)
        seen.add((seed % 2, (folder / "old").read_bytes()))
    synced = {content for was, content in seen if was}
    assert synced == {b"old", b"new one"}
    assert {content for was, content in seen if not was} - synced  # cut short


@pytest.mark.usefixtures("watched")
def test_a_full_disk_refuses_what_needs_room_alone(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    calls = Strike("full", 2).begin()
    os.mkdir(tmp_path / "b")
    with pytest.raises(OSError, match="No space left"):
        os.mkdir(tmp_path / "c")
    os.unlink(tmp_path / "a")
    assert calls.seen == 3
    os.close(os.open(tmp_path, os.O_RDONLY))
    assert calls.seen == 3
    assert striking.real("mkdir") is not os.mkdir


@pytest.mark.usefixtures("watched")
def test_calls_are_counted_and_strike_nobody(tmp_path: Path) -> None:
    seen: list[str] = []
    calls = Calls(3, lambda of, name: seen.append(name))
    calls.watch()
    save(tmp_path / "m", [document("a")], FINGERPRINT)
    shutil.rmtree(tmp_path / "m")
    assert calls.seen - 2 == len(seen) > 10
    assert {"fsync", "replace", "unlink", "rmdir"} <= set(seen)


def test_reading_needs_no_memory_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "0.txt").write_text("one line\n")
    kept: list[int] = []
    reading.read(tmp_path, kept.append)
    assert kept[-1] == 1
