import errno
import json
import os
import resource
from pathlib import Path

import pytest
import torch

from mnemon.config import Problem
from mnemon.train.checkpoint import load, newest, prune, save, saved_steps
from mnemon.train.parts import read_tensors

TENSORS = {
    "model": {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(1.5), "empty": torch.empty(2, 0)},
    "memory": {"k": torch.ones(4, dtype=torch.bfloat16), "n": torch.tensor([1, 2])},
}


def saved(folder: Path, *steps: int) -> None:
    for step in steps:
        save(folder, step, TENSORS, {"note": [step, None, "x"]})


def test_a_checkpoint_gives_back_what_was_saved(tmp_path: Path) -> None:
    path = save(tmp_path, 7, TENSORS, {"note": 1})
    found = load(path)
    assert path == tmp_path / "step-7"
    assert found.values["step"] == 7
    assert found.values["note"] == 1
    for name, group in TENSORS.items():
        assert found.tensors[name].keys() == group.keys()
        for key, tensor in group.items():
            assert found.tensors[name][key].dtype == tensor.dtype
            assert torch.equal(found.tensors[name][key], tensor)


def test_tensors_that_share_memory_or_are_strided_are_saved(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    found = load(save(tmp_path, 1, {"x": {"a": whole, "b": whole[0], "c": whole.T}}, {})).tensors["x"]
    assert torch.equal(found["c"], whole.T)
    assert torch.equal(found["b"], whole[0])


def test_what_is_read_is_aligned_as_fresh_tensors_are(tmp_path: Path) -> None:
    save(tmp_path, 1, {"x": {"a": torch.ones(3, dtype=torch.uint8), "b": torch.ones(5)}}, {})
    assert load(tmp_path / "step-1").tensors["x"]["b"].data_ptr() % 64 == 0


def test_only_safetensors_and_json_are_written(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    names = {path.name for path in (tmp_path / "step-3").iterdir()}
    assert names == {"model.safetensors", "memory.safetensors", "state.json"}


def test_older_ones_are_removed_and_so_are_torn_and_later_ones(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2, 3, 10, 20)
    (tmp_path / ".step-10.abc").mkdir()
    (tmp_path / "step-notes").mkdir()
    prune(tmp_path, 10, keep=2)
    assert saved_steps(tmp_path) == [10, 3]
    assert {path.name for path in tmp_path.iterdir()} == {"step-10", "step-3", "step-notes"}


def test_saving_over_a_damaged_one_replaces_it(tmp_path: Path) -> None:
    saved(tmp_path, 5)
    (tmp_path / "step-5" / "state.json").write_text("{")
    saved(tmp_path, 5)
    assert load(tmp_path / "step-5").values["step"] == 5


@pytest.mark.parametrize("file", ["model.safetensors", "memory.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "missing", "foreign"])
def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path: Path, file: str, damage: str) -> None:
    saved(tmp_path, 1, 2)
    path = tmp_path / "step-2" / file
    data = path.read_bytes()
    middle = len(data) // 2
    match damage:
        case "cut":
            path.write_bytes(data[:-3])
        case "empty":
            path.write_bytes(b"")
        case "flipped":
            path.write_bytes(data[:1] + bytes([data[1] ^ 0x80]) + data[2:middle] + b"\x00" + data[middle + 1 :])
        case "missing":
            path.unlink()
        case "foreign":
            path.write_bytes(b'{"format": "else"}')
    with pytest.raises(Problem, match=f"step-2/{file}"):
        load(tmp_path / "step-2")
    with pytest.warns(UserWarning, match=f"step-2/{file}.*continuing from the checkpoint before, step 1"):
        assert newest(tmp_path).values["step"] == 1


def test_with_no_whole_checkpoint_left_the_problem_names_the_newest(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    for step in (1, 2):
        (tmp_path / f"step-{step}" / "state.json").write_text("not JSON")
    with pytest.raises(Problem, match=r"step-2/state.json.*no other checkpoint is whole"):
        newest(tmp_path)


def test_without_any_checkpoint_the_problem_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no checkpoint to continue from"):
        newest(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    state = tmp_path / "step-1" / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "version": 3}))
    with pytest.raises(Problem, match="checkpoint format 3, this mnemon reads 2"):
        load(tmp_path / "step-1")


def test_a_file_that_would_be_pickled_elsewhere_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    torch.save({"a": torch.ones(2)}, file)
    with pytest.raises(Problem, match="no safetensors file"):
        read_tensors(file)


@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir"])
def test_a_failure_while_saving_leaves_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    saved(tmp_path, 1)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(Problem, match=r"step-2: the checkpoint could not be saved .*No space left"):
        saved(tmp_path, 2)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert newest(tmp_path).values["step"] == 1


def test_a_disk_that_refuses_more_bytes_leaves_the_previous_one(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(Problem, match="step-2: the checkpoint could not be saved"):
            save(tmp_path, 2, {**TENSORS, "large": {"x": torch.zeros(1 << 16)}}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert newest(tmp_path).values["step"] == 1


def test_the_first_format_is_still_read(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    state = tmp_path / "step-1" / "state.json"
    values = json.loads(state.read_text())
    files = {name: about["digest"] for name, about in values.pop("files").items()}
    del values["digest"], values["ranks"]
    state.write_text(json.dumps({**values, "version": 1, "files": files}))
    found = load(tmp_path / "step-1")
    assert found.ranks == 1
    assert torch.equal(found.tensors["model"]["a"], TENSORS["model"]["a"])


def test_a_changed_number_in_the_index_is_noticed(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    state = tmp_path / "step-1" / "state.json"
    state.write_text(state.read_text().replace('"step": 1', '"step": 7'))
    with pytest.raises(Problem, match=r"state.json: damaged"):
        load(tmp_path / "step-1")
