import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from memories import FINGERPRINT, LAYERS, files, saved
from mnemon.config import Problem, digest_of
from mnemon.memory import check, forget, load, read_contents, save
from mnemon.memory.index_file import State, read_state, upgraded


def flip(path: Path, at: int) -> None:
    """Turn one bit of a file."""
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1 << 4
    path.write_bytes(raw)


def file_of(folder: Path, name: str) -> Path:
    return folder / read_contents(folder).find(folder, name).file


def reindexed(folder: Path, change: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    """Change the values of an index, with a digest that fits."""
    values = json.loads((folder / "index.json").read_text())
    del values["sha256"]
    change(values)
    (folder / "index.json").write_text(json.dumps({**values, "sha256": digest_of(values)}))


def test_a_whole_memory_has_nothing_wrong(tmp_path: Path) -> None:
    for precision in ("float32", "bfloat16", "int8"):
        assert check(saved(tmp_path / precision, precision=precision)) == []


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_every_flipped_bit_is_found_and_told_with_document_and_file(tmp_path: Path, precision: str) -> None:
    folder = saved(tmp_path / "m", precision=precision)
    path = file_of(folder, "two")
    raw = path.read_bytes()
    for at in range(0, len(raw), 41):
        flip(path, at)
        (found,) = check(folder)
        assert (found.document, found.file) == ("'two'", path.name)
        with pytest.raises(Problem, match=rf"{path.name}: document 'two': damaged \(.*\); put a copy in its place"):
            load(folder, verify=True)
        path.write_bytes(raw)
    assert check(folder) == []


def test_no_flipped_bit_of_a_header_gives_another_document(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    path = file_of(folder, "two")
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    said = []
    for at in range(0, 8 + length, 5):
        flip(path, at)
        try:
            assert set(load(folder)[1][1].keys) == set(LAYERS)  # a flipped blank, or in the metadata, changes nothing
        except Problem as problem:
            said.append(str(problem))
        path.write_bytes(raw)
    assert all(path.name in each for each in said)
    assert 5 * len(said) > 0.8 * len(json.dumps(json.loads(raw[8 : 8 + length])))


@pytest.mark.parametrize("left", [0, 5, 300, -1])
def test_a_truncated_file_is_refused_at_once(tmp_path: Path, left: int) -> None:
    folder = saved(tmp_path / "m")
    path = file_of(folder, "one")
    size = path.stat().st_size
    os.truncate(path, left if left >= 0 else size + left)
    with pytest.raises(Problem, match=rf"document 'one': damaged \([\d,]+ bytes instead of {size:,}\)"):
        load(folder)
    assert [found.document for found in check(folder)] == ["'one'"]
    assert forget(folder, "one").entries == 7  # what is damaged can be forgotten
    assert check(folder) == []


def test_what_a_writer_takes_away_meanwhile_is_not_found_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path / "m")
    calls: list[Path] = []

    def slow(where: Path) -> State:
        found = read_state(where)
        calls.append(where)
        if len(calls) == 1:
            forget(folder, "two")  # between the index and the files that it names
        return found

    monkeypatch.setattr("mnemon.memory.checks.read_state", slow)
    assert check(folder) == []
    assert len(calls) >= 2


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    file_of(folder, "one").unlink()
    for verify in (False, True):
        with pytest.raises(Problem, match="document 'one': the file is missing"):
            load(folder, verify=verify)
    assert [found.what for found in check(folder)] == ["the file is missing"]


def test_every_flipped_bit_of_the_index_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    path = folder / "index.json"
    raw = path.read_bytes()
    for at in range(0, len(raw) - 1, 23):
        flip(path, at)
        with pytest.raises(Problem, match=r"index\.json"):
            load(folder)
        path.write_bytes(raw)


@pytest.mark.parametrize("cut", [0, 1, 100, -3])
def test_a_truncated_index_is_refused(tmp_path: Path, cut: int) -> None:
    folder = saved(tmp_path / "m")
    os.truncate(folder / "index.json", cut if cut >= 0 else (folder / "index.json").stat().st_size + cut)
    before = files(folder)
    for use in (lambda: load(folder), lambda: check(folder), lambda: save(folder, [], FINGERPRINT)):
        with pytest.raises(Problem, match="cannot be read as JSON"):
            use()
    assert files(folder) == before


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a.safetensors", "index.json", ""])
def test_a_document_file_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path / "m")
    reindexed(folder, lambda values: values["documents"][0].update(file=name))
    with pytest.raises(Problem, match=r"index\.json: documents\.0: document 'one' lies in '.*', which no document"):
        load(folder)
    (tmp_path / "secret.safetensors").touch()
    with pytest.raises(Problem):
        forget(folder, "one")
    assert (tmp_path / "secret.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 3}, "memory format 3, this mnemon reads up to 2; use a newer mnemon"),
        ({"version": "1"}, "damaged: version '1'"),
        ({"format": "mnemon-checkpoint"}, "this is no memory of mnemon"),
        ({"documents": None}, "documents: Input should be"),
        ({"extra": 1}, "extra: unknown key"),
    ],
)
def test_an_index_that_says_something_else_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    folder = saved(tmp_path / "m")
    reindexed(folder, lambda values: values.update(changes))
    with pytest.raises(Problem, match=said):
        load(folder)


def test_two_documents_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    reindexed(folder, lambda values: values["documents"].append(values["documents"][0]))
    with pytest.raises(Problem, match="two documents of one namespace have the same name"):
        load(folder)


def test_an_older_version_is_brought_up_step_by_step() -> None:
    steps = {1: lambda old: {"names": [old["name"]]}, 2: lambda old: {**old, "sizes": []}}
    assert upgraded({"version": 1, "name": "a"}, 3, steps) == {"version": 3, "names": ["a"], "sizes": []}
    assert upgraded({"version": 3}, 3, steps) == {"version": 3}


def test_files_that_no_index_names_are_found_and_only_ours_are_removed(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    left = [f"{'0' * 64}.safetensors", f".new-{'a' * 16}"]
    for name in ["notes.txt", *left]:
        (folder / name).write_text("x")
    found = {each.file: each.what for each in check(folder)}
    assert found.pop("notes.txt") == "no file of a memory"
    assert sorted(found) == sorted(left)
    save(folder, load(folder)[1], FINGERPRINT)
    assert [each.file for each in check(folder)] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("spans", lambda spans: spans + 1000, "a span lies outside the "),
        ("keys.10", lambda keys: keys * torch.nan, "keys of layer 10 hold NaN or infinity"),
        (
            "keys.3",
            lambda keys: keys[:, :-1],
            "keys.3 is (torch.float32, (2, 6, 5)) instead of",
        ),
        ("values.3", lambda values: values.half(), "values.3 is (torch.float16, (2, 7, 5)) instead of"),
        ("text", lambda text: text | 0x80, "its text is no UTF-8"),
    ],
)
def test_content_that_no_save_wrote_is_found_where_digests_fit(
    tmp_path: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor], said: str
) -> None:
    folder = saved(tmp_path / "m", ["one"])
    path = file_of(folder, "one")
    tensors = load_file(path)
    path.unlink()
    save_file({**tensors, name: change(tensors[name]).contiguous()}, folder / "new")
    raw = (folder / "new").read_bytes()
    (folder / "new").unlink()
    digest = hashlib.sha256(raw).hexdigest()
    (folder / f"{digest}.safetensors").write_bytes(raw)
    facts = {"sha256": digest, "file": f"{digest}.safetensors", "bytes": len(raw)}
    reindexed(folder, lambda values: values["documents"][0].update(facts))
    (found,) = check(folder)
    assert said in found.what
