import gzip
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.data import DataConfig, Place, load_corpus

FILES = {
    "poems/second.txt": "two\n",
    "poems/first.txt": "one\nline",
    "letters/deep/a.md": "dear\n",
    "top.txt": "alone\n",
    "letters/copy.txt": "two\n",
    "letters/none.txt": "",
    ".hidden/x.txt": "hidden",
    "letters/.hidden.txt": "hidden",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "texts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, newline="")
    return tmp_path / "texts"


def test_a_folder_gives_one_document_a_file(folder: Path) -> None:
    corpus = load_corpus(str(folder), DataConfig())
    texts = {document.id: document.text for document in corpus.documents}
    assert texts == {
        name: FILES[name] for name in ("letters/copy.txt", "letters/deep/a.md", "poems/first.txt", "top.txt")
    }
    assert corpus.name == "texts"
    assert corpus.skipped == {"empty": 1, "exact duplicate": 1}
    assert corpus.train
    assert corpus.valid
    assert corpus.test
    first = next(document for document in corpus.documents if document.id == "poems/first.txt")
    assert first.locate(5) == Place("poems/first.txt", "poems/first.txt", 2)


def test_a_folder_gives_one_document_a_top_folder(folder: Path) -> None:
    corpus = load_corpus(str(folder), DataConfig(document="folder"))
    texts = {document.id: document.text for document in corpus.documents}
    assert texts == {
        "letters": "# letters/copy.txt\ntwo\n# letters/deep/a.md\ndear\n# letters/none.txt\n\n",
        "poems": "# poems/first.txt\none\nline\n# poems/second.txt\ntwo\n",
        "top.txt": "alone\n",
    }
    poems = next(document for document in corpus.documents if document.id == "poems")
    assert poems.locate(poems.text.index("two")) == Place("poems", "poems/second.txt", 1)


def test_a_glob_takes_what_it_matches_named_from_its_fixed_part(folder: Path) -> None:
    corpus = load_corpus(f"{folder}/**/*.txt", DataConfig())
    assert {document.id for document in corpus.documents} == {"letters/copy.txt", "poems/first.txt", "top.txt"}
    only = load_corpus(f"{folder}/poems/f*.txt", DataConfig())
    assert [document.id for document in only.documents] == ["first.txt"]


def test_packed_files_of_a_folder_are_unpacked(folder: Path) -> None:
    (folder / "packed.txt.gz").write_bytes(gzip.compress(b"packed text"))
    assert "packed text" in {document.text for document in load_corpus(str(folder), DataConfig()).documents}


def test_binary_and_other_encodings_are_skipped_with_a_count(folder: Path) -> None:
    (folder / "image.png").write_bytes(b"\x89PNG\0\0")
    (folder / "latin.txt").write_bytes("café".encode("latin-1"))
    corpus = load_corpus(str(folder), DataConfig())
    assert corpus.skipped["binary"] == corpus.skipped["not UTF-8"] == 1
    with pytest.raises(Problem, match=r"(image.png: binary|latin.txt: not UTF-8 \(byte 3\))"):
        load_corpus(str(folder), DataConfig(strict=True))


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no files there"):
        load_corpus(str(tmp_path), DataConfig())
    with pytest.raises(Problem, match="no files there"):
        load_corpus(f"{tmp_path}/*.txt", DataConfig())


def test_a_folder_of_nothing_but_binary_files_is_a_problem_with_the_count(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\0")
    with pytest.raises(Problem, match=r"no text to read \(1 binary\)"):
        load_corpus(str(tmp_path), DataConfig())


def test_a_folder_with_only_test_txt_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("a document that happens to be called so")
    assert [document.id for document in load_corpus(str(tmp_path), DataConfig()).documents] == ["test.txt"]
