from collections import defaultdict
from pathlib import Path

import pytest

from data_files import source, write
from mnemon.config import Problem
from mnemon.data import Corpus, DataConfig, Place, load_corpus, python_env
from mnemon.data.near import straddling
from mnemon.data.python_env import prepare, side

NAMES = [f"pack{k}" for k in range(40)]
MANY = 2**30


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    """Forty packages with a sub-package each, a few single modules, and copies of one file in all of them."""
    for name in NAMES:
        write(tmp_path / "site", f"{name}/__init__.py")
        write(tmp_path / "site", f"{name}/large/one.py", size=20_000)
        write(tmp_path / "site", f"{name}/large/two.py", size=20_000)
        write(tmp_path / "site", f"{name}/small/three.py", size=2_000)
        write(tmp_path / "site", f"{name}/copied.py", source("copied", 4000))
        write(tmp_path / "site", f"{name}/nearly.py", source("nearly", 4000) + f"\nx = {name!r}\n")
    for name in ("argparse", "json", "zipfile"):
        write(tmp_path / "lib", f"{name}.py")
    write(tmp_path / "lib", "tiny.py", "x = 1\n")
    return [tmp_path / "lib", tmp_path / "site"]


def by_split(corpus: Corpus) -> dict[str, list[str]]:
    return {split: [document.id for document in corpus.split(split)] for split in ("train", "valid", "test")}


def files(corpus: Corpus) -> dict[str, tuple[str, str]]:
    """Split and text of every file of the corpus."""
    found = {}
    for split in ("train", "valid", "test"):
        for document in corpus.split(split):
            ends = [start - len(f"# {path}\n") for start, path in document.files[1:]] + [len(document.text)]
            for (start, path), end in zip(document.files, ends, strict=True):
                found[path] = (split, document.text[start:end])
    return found


def test_a_package_and_each_large_sub_package_are_documents(roots: list[Path]) -> None:
    corpus = prepare(roots, 0, MANY)
    names = {document.id for document in corpus.documents}
    assert names == {"argparse", "json", "zipfile", *NAMES, *(f"{name}.large" for name in NAMES)}
    pack = next(document for document in corpus.documents if document.id == "pack7")
    assert {path for _, path in pack.files} >= {"pack7/__init__.py", "pack7/small/three.py"}
    assert corpus.skipped["document shorter than 2 KB"] == 1


def test_no_top_level_package_stands_in_two_splits(roots: list[Path]) -> None:
    corpus = prepare(roots, 0, MANY)
    where = defaultdict(set)
    for split, names in by_split(corpus).items():
        for name in names:
            where[name.split(".")[0]].add(split)
    assert all(splits == {side(package)} for package, splits in where.items())
    assert {split for splits in where.values() for split in splits} == {"train", "valid", "test"}


def test_exact_copies_are_dropped_and_near_copies_are_on_one_side(roots: list[Path]) -> None:
    corpus = prepare(roots, 0, MANY)
    found = files(corpus)
    assert sum(path.endswith("copied.py") for path in found) <= 1
    assert corpus.skipped["exact duplicate"] == len(NAMES) - 1
    sides = {split for path, (split, _) in found.items() if path.endswith("nearly.py")}
    assert len(sides) == 1
    assert corpus.skipped["near duplicate in another split"] > 0
    assert not any(straddling([text for _, text in found.values()], [split for split, _ in found.values()]))


def test_every_file_follows_its_path_and_is_found_again(roots: list[Path]) -> None:
    corpus = prepare(roots, 0, MANY)
    for document in corpus.documents:
        for start, path in document.files:
            assert document.text[:start].endswith(f"# {path}\n")
            assert document.locate(start) == Place(document.id, path, 1)
    for path, (_, text) in files(corpus).items():
        root = roots[1] if (roots[1] / path).exists() else roots[0]
        assert text == (root / path).read_text()


def test_the_corpus_repeats_itself_and_the_seed_moves_only_files_within_documents(roots: list[Path]) -> None:
    one, again, other = prepare(roots, 0, MANY), prepare(roots, 0, MANY), prepare(roots, 1, MANY)
    assert one == again
    assert one.fingerprint != other.fingerprint
    assert by_split(one) == by_split(other)
    assert files(one) == files(other)
    assert any(a.files != b.files for a, b in zip(one.documents, other.documents, strict=True))


def test_adding_a_package_moves_no_other(roots: list[Path]) -> None:
    before = by_split(prepare(roots, 0, MANY))
    write(roots[1], "added/__init__.py")
    after = by_split(prepare(roots, 0, MANY))
    assert {split: [name for name in names if name != "added"] for split, names in after.items()} == before


def test_the_corpus_and_each_package_keep_within_their_size(roots: list[Path]) -> None:
    limit = 400_000
    corpus = prepare(roots, 0, limit)
    sizes = defaultdict(int)
    for document in corpus.documents:
        sizes[document.id.split(".")[0]] += len(document.text.encode())
    assert limit / 2 < sum(sizes.values()) <= limit
    assert max(sizes.values()) <= limit / 8
    assert corpus.skipped["document beyond the corpus's size"] > 0
    assert prepare(roots, 0, 200_000).skipped["document beyond its package's share"] > 0


def test_a_package_larger_than_a_document_becomes_several(tmp_path: Path) -> None:
    for k in range(7):
        write(tmp_path, f"big/m{k}.py", size=150_000)
    corpus = prepare([tmp_path], 0, MANY)
    assert [document.id for document in corpus.documents] == ["big", "big#2", "big#3"]
    assert max(len(document.text.encode()) for document in corpus.documents) <= 512 * 1024


def test_the_corpus_is_prepared_once_for_an_environment(
    roots: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(*arguments: object) -> Corpus:
        calls.append(arguments)
        return prepare(*arguments)

    monkeypatch.setattr(python_env, "search_path", lambda: roots)
    monkeypatch.setattr(python_env, "prepare", counted)
    options = DataConfig(cache=str(tmp_path / "cache"))
    assert load_corpus("python-env", options) == load_corpus("python-env", options) == prepare(roots, 0, 64 * 2**20)
    assert len(calls) == 1
    load_corpus("python-env", options.replace(seed=1))
    write(roots[1], "added/__init__.py")
    load_corpus("python-env", options)
    assert len(calls) == 3


def test_the_environment_takes_no_path() -> None:
    with pytest.raises(Problem, match="takes no path"):
        load_corpus("python-env:somewhere", DataConfig())
