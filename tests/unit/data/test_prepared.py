from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.data import Corpus, Document
from mnemon.data.prepared import cache_folder, kept, listing

CORPUS = Corpus(
    "c",
    [Document("a", "text é\n", "s", ((2, "f"), (4, "g"))), Document("b", "")],
    [Document("v", "valid")],
    [],
    {"empty": 3},
    "abc",
)


def get(folder: Path, key: object = 1) -> tuple[Corpus, bool]:
    """The kept corpus, and whether it had to be prepared."""
    prepared = []

    def prepare() -> Corpus:
        prepared.append(1)
        return CORPUS

    return kept(str(folder), "c", (key,), prepare), bool(prepared)


def test_a_corpus_is_prepared_once_for_a_key(tmp_path: Path) -> None:
    assert get(tmp_path) == (CORPUS, True)
    assert get(tmp_path) == (CORPUS, False)
    assert get(tmp_path, key=2) == (CORPUS, True)


@pytest.mark.parametrize("name", ["texts.txt", "documents.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_a_damaged_copy_is_prepared_again(tmp_path: Path, name: str, damage: str) -> None:
    get(tmp_path)
    (path,) = tmp_path.glob(f"*/{name}")
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"x" + data[1:])
    assert get(tmp_path) == (CORPUS, True)
    assert get(tmp_path) == (CORPUS, False)


def test_a_cache_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Problem, match="choose another cache"):
        get(tmp_path / "file")


def test_the_cache_stands_where_the_user_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(None) == tmp_path / "mnemon"
    assert cache_folder("here") == Path("here")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder(None) == tmp_path / ".cache" / "mnemon"


def test_a_listing_changes_with_what_is_installed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    before = listing([tmp_path])
    (tmp_path / "__pycache__").mkdir()
    assert listing([tmp_path]) == before
    (tmp_path / "b-1.0.dist-info").mkdir()
    assert listing([tmp_path]) != before
