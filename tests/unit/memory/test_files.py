import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from memories import DIM, FINGERPRINT, HEADS, LAYERS, document, equal, files, fingerprint, saved
from mnemon.config import Problem
from mnemon.memory import Document, forget, load, read_contents, save, show
from mnemon.memory.index_file import read_state


def loaded(folder: Path) -> dict[str, Document]:
    return {each.name: each for each in load(folder)[1]}


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_what_is_saved_is_loaded_to_the_last_bit(tmp_path: Path, dtype: str) -> None:
    lengths = {"one": 7, "none": 0, "a single": 1}
    documents = [document(name, n, dtype=getattr(torch, dtype)) for name, n in lengths.items()]
    done = save(tmp_path / "m", documents, fingerprint(dtype))
    whose, found = load(tmp_path / "m", verify=True)
    assert whose == fingerprint(dtype)
    assert [each.name for each in found] == list(lengths)
    assert all(equal(a, b) for a, b in zip(documents, found, strict=True))
    assert (done.written, done.kept, done.removed, done.precision) == (3, 0, 0, dtype)
    assert done.recall == dict.fromkeys(LAYERS, 1.0)
    assert done.bytes == sum(path.stat().st_size for path in (tmp_path / "m").glob("*.safetensors"))


def test_an_empty_memory_is_a_memory(tmp_path: Path) -> None:
    assert save(tmp_path / "m", [], FINGERPRINT).recall == {}
    assert load(tmp_path / "m") == (FINGERPRINT, [])


def test_text_that_is_no_unicode_comes_back(tmp_path: Path) -> None:
    odd = replace(document("odd"), text="a\udcffb" * 7)
    save(tmp_path / "m", [odd], FINGERPRINT)
    assert equal(loaded(tmp_path / "m")["odd"], odd)


def test_files_are_ordinary_safetensors_of_the_owner_alone(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", ["one"])
    (entry,) = read_contents(folder).documents
    tensors = load_file(folder / entry.file)
    one = document("one")
    assert torch.equal(tensors["keys.10"], one.keys[10])
    assert bytes(tensors["text"].numpy()).decode() == one.text
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    assert files(saved(tmp_path / "a")) == files(saved(tmp_path / "b"))


def test_what_is_there_is_not_written_again(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    before = {path.name: path.stat().st_ino for path in folder.glob("*.safetensors")}
    done = save(folder, [*load(folder)[1], document("three", seed=5)], FINGERPRINT)
    after = {path.name: path.stat().st_ino for path in folder.glob("*.safetensors")}
    assert (done.written, done.kept, done.removed) == (1, 2, 0)
    assert before.items() < after.items()
    done = save(folder, [document("three", seed=5), document("one", seed=0)], FINGERPRINT)
    assert (done.written, done.kept, done.removed) == (0, 2, 1)
    assert list(loaded(folder)) == ["three", "one"]


def test_a_file_that_was_cut_is_written_again_by_who_still_has_the_document(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", ["one"])
    (path,) = folder.glob("*.safetensors")
    os.truncate(path, 100)
    assert save(folder, [document("one")], FINGERPRINT).written == 1
    assert equal(loaded(folder)["one"], document("one"))


def test_loading_maps_files_and_reads_keys_when_they_are_asked_for(tmp_path: Path) -> None:
    big = document("big", n=100_000)
    save(tmp_path / "m", [big], FINGERPRINT)
    (path,) = (tmp_path / "m").glob("*.safetensors")

    def resident() -> int:
        """Kilobytes of the file that this process has touched."""
        areas = Path("/proc/self/smaps").read_text().split(str(path))[1:]
        return sum(int(area.split("Rss:")[1].split()[0]) for area in areas)

    (found,) = load(tmp_path / "m")[1]
    assert resident() < path.stat().st_size / 1024 / 10
    assert found.keys[10].data_ptr() == found.keys[10].data_ptr()  # the map itself, no copies
    found.keys[10].sum()
    assert path.stat().st_size / 1024 / 10 < resident() < path.stat().st_size / 1024 / 2
    found.keys[10].zero_()  # a private map: the disk is not written
    assert equal(loaded(tmp_path / "m")["big"], big)
    assert set(found.values) == set(LAYERS)
    with pytest.raises(KeyError):
        found.values[4]


def test_a_reader_keeps_what_it_opened_when_it_is_forgotten(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    before = loaded(folder)
    assert len(list(folder.glob("*.safetensors"))) == 2
    gone = forget(folder, "one")
    assert (gone.entries, gone.bytes > 2 * 2 * len(LAYERS) * HEADS * DIM * 7) == (7, True)
    assert list(loaded(folder)) == ["two"]
    assert len(list(folder.glob("*.safetensors"))) == 1
    assert equal(before["one"], document("one"))
    assert b"What one says" not in b"".join(files(folder).values())


def test_forgetting_one_of_two_equal_documents_keeps_their_file(tmp_path: Path) -> None:
    one = document("one")
    twins = [one, replace(one, name="other"), replace(one, namespace="b")]
    done = save(tmp_path / "m", twins, FINGERPRINT)
    assert done.bytes == sum(path.stat().st_size for path in (tmp_path / "m").glob("*.safetensors"))
    with pytest.raises(Problem, match="there is 'one' and 'one' in namespace 'b'; give the namespace"):
        forget(tmp_path / "m", "one")
    assert forget(tmp_path / "m", "one", "b").bytes == 0
    assert forget(tmp_path / "m", "one").bytes == 0
    assert equal(loaded(tmp_path / "m")["other"], twins[1])
    assert forget(tmp_path / "m", "other").bytes == done.bytes
    assert list(loaded(tmp_path / "m")) == []


def test_a_reader_begins_again_when_a_writer_is_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "m")
    calls: list[Path] = []

    def slow(where: Path) -> object:
        state = read_state(where)
        if not calls:
            calls.append(where)
            forget(folder, "two")  # between the index and the files that it names
        return state

    monkeypatch.setattr("mnemon.memory.access.read_state", slow)
    assert list(loaded(folder)) == ["one"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "llama 9999"),
        ("tokenizer", "0"),
        ("layers", (3,)),
        ("positions", "x"),
        ("dtype", "bfloat16"),
        ("value", "next"),
    ],
)
def test_a_memory_of_another_model_is_refused_by_what_differs(tmp_path: Path, field: str, value: object) -> None:
    folder = saved(tmp_path / "m")
    before = files(folder)
    other = replace(FINGERPRINT, **{field: value})
    with pytest.raises(Problem, match=field):
        load(folder, expected=other)
    with pytest.raises(Problem, match=field):
        save(folder, [], other)
    assert files(folder) == before


def test_a_folder_that_is_no_memory_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").touch()
    with pytest.raises(Problem, match=r"no memory, but a folder with 'a\.jpg' in it; give a new one"):
        save(folder, [], FINGERPRINT)
    (folder / "index.json").write_text(json.dumps({"format": "other"}))
    for use in (lambda: save(folder, [], FINGERPRINT), lambda: load(folder), lambda: forget(folder, "a")):
        with pytest.raises(Problem, match="this is no memory of mnemon"):
            use()
    assert sorted(path.name for path in folder.iterdir()) == ["a.jpg", "index.json"]
    with pytest.raises(Problem, match="no memory here"):
        forget(tmp_path / "absent", "a")
    assert not (tmp_path / "absent").exists()
    (tmp_path / "file").touch()
    with pytest.raises(Problem, match="file: cannot be written"):
        save(tmp_path / "file", [], FINGERPRINT)


@pytest.mark.parametrize("name", [".lock", f"{'0' * 64}.safetensors"])
def test_what_the_system_refuses_is_one_line_and_changes_nothing(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path / "m")
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    with pytest.raises(Problem, match=r"m: cannot be written \(Is a directory\)"):
        forget(folder, "one")
    assert [*loaded(folder)] == ["one", "two"]


def test_documents_with_gradients_are_saved_without(tmp_path: Path) -> None:
    one = document("one")
    for x in [*one.keys.values(), *one.values.values()]:
        x.requires_grad_()
    save(tmp_path / "m", [one], FINGERPRINT, "int8")
    assert not loaded(tmp_path / "m")["one"].keys[3].requires_grad


def test_an_unknown_document_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", ["manual", "letters"])
    with pytest.raises(Problem, match=r"no document 'manaul' \(did you mean 'manual'\?\)"):
        forget(folder, "manaul")
    with pytest.raises(Problem, match=r"no document 'manual' in namespace 'b' \(it has none\)"):
        show(folder, "manual", "b")


WIDE = {layer: torch.zeros(3, 7, DIM) for layer in LAYERS}


def broken(**changes: object) -> Document:
    return replace(document("bad"), **changes)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (broken(keys={3: torch.zeros(HEADS, 7, DIM)}), r"keys of layers \[3\] instead of \[3, 10\]"),
        (broken(keys=WIDE, values=WIDE), r"keys of layer 3 have shape \(3, 7, 5\) instead of \(2, 7, 5\)"),
        (broken(keys={layer: torch.full((HEADS, 7, DIM), torch.nan) for layer in LAYERS}), "hold NaN or infinity"),
        (broken(keys={layer: torch.zeros(HEADS, 7, DIM).half() for layer in LAYERS}), "are in torch.float16"),
        (broken(text="short"), "a span lies outside the 5 characters of the text"),
        (document("good"), "there are two of that name"),
    ],
)
def test_a_document_that_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, bad: Document, said: str
) -> None:
    with pytest.raises(Problem, match=said):
        save(tmp_path / "m", [document("good"), bad], FINGERPRINT)
    assert not (tmp_path / "m").exists()


def test_a_type_or_precision_that_files_cannot_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="entries in 'float8' cannot be saved"):
        save(tmp_path / "m", [], fingerprint("float8"))
    with pytest.raises(Problem, match=r"precision 'int4': no such precision \(did you mean 'int8'\?\)"):
        save(tmp_path / "m", [], FINGERPRINT, "int4")
    assert not (tmp_path / "m").exists()
