import os
from dataclasses import replace
from pathlib import Path

import pytest

from memories import FINGERPRINT, document, equal, files, fingerprint, saved
from mnemon.config import Problem
from mnemon.memory import check, load, merge, save


def test_a_merged_memory_has_the_documents_of_each_in_turn(tmp_path: Path) -> None:
    a = saved(tmp_path / "a", ["one", "two"], "int8")
    save(tmp_path / "b", [document("three", seed=5), document("one", seed=6, namespace="b")], FINGERPRINT)
    before = files(a)
    merged = merge(tmp_path / "c", [a, tmp_path / "b"])
    parts = [*load(a)[1], *load(tmp_path / "b")[1]]
    found = load(tmp_path / "c", verify=True)[1]
    assert [str(each) for each in merged.documents] == ["'one'", "'two'", "'three'", "'one' in namespace 'b'"]
    assert all(equal(x, y) for x, y in zip(parts, found, strict=True))
    assert [each.precision for each in merged.documents] == ["int8", "int8", "float32", "float32"]
    assert check(tmp_path / "c") == []
    assert files(a) == before


def test_the_same_document_twice_is_one_and_another_of_its_name_is_refused_or_renamed(tmp_path: Path) -> None:
    a, b, c = (saved(tmp_path / name, ["one"]) for name in "abc")
    assert len(merge(tmp_path / "ab", [a, b]).documents) == 1
    save(c, [document("one", seed=9)], FINGERPRINT)
    with pytest.raises(
        Problem, match="c: document 'one' is another one than that of a memory before it; forget one, or"
    ):
        merge(tmp_path / "out", [a, c])
    assert files(tmp_path / "out") == {}
    merged = merge(tmp_path / "out", [a, c, b, c], rename=True)
    assert [each.name for each in merged.documents] == ["one", "one-2"]
    assert equal(load(tmp_path / "out")[1][1], replace(document("one", seed=9), name="one-2"))


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([], "no memories to merge"),
        (["a", "b"], "b: another model's memory than .*a: dtype 'bfloat16' instead of 'float32'"),
        (["a", "gone"], "gone: no memory here"),
        (["a", "cut"], "document 'two': damaged"),
    ],
)
def test_what_cannot_be_merged_leaves_no_memory(tmp_path: Path, sources: list[str], said: str) -> None:
    saved(tmp_path / "a")
    save(tmp_path / "b", [], fingerprint("bfloat16"))
    flipped = next(iter(saved(tmp_path / "cut", ["two"]).glob("*.safetensors")))
    os.truncate(flipped, 1000)
    with pytest.raises(Problem, match=said):
        merge(tmp_path / "out", [tmp_path / name for name in sources])
    assert not (tmp_path / "out").exists() or files(tmp_path / "out") == {}


def test_an_existing_memory_is_not_merged_into(tmp_path: Path) -> None:
    a, b = saved(tmp_path / "a"), saved(tmp_path / "b")
    before = files(a)
    with pytest.raises(Problem, match="there is a memory already"):
        merge(a, [a, b])
    assert files(a) == before
