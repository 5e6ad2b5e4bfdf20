import json
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.data import Corpus, DataConfig, check_source, load_corpus

PARTIAL = DataConfig(partial=True)


def write(folder: Path, books: int = 9) -> None:
    (folder / "metadata.csv").write_text("1,A book")
    for split, count in (("train", books), ("validation", 2), ("test", 1)):
        (folder / split).mkdir()
        for k in range(count):
            (folder / split / f"{k}.txt").write_text(f"Book {k} of {split}")


def ids(corpus: Corpus) -> list[list[str]]:
    return [[document.id for document in corpus.split(split)] for split in ("train", "valid", "test")]


def test_a_book_is_a_document(tmp_path: Path) -> None:
    write(tmp_path, 3)
    corpus = load_corpus(f"pg-19:{tmp_path}", PARTIAL)
    assert ids(corpus) == [["0", "1", "2"], ["0", "1"], ["0"]]
    assert corpus.valid[1].text == "Book 1 of validation"
    assert corpus.valid[1].locate(0).file == "validation/1.txt"
    assert not corpus.train[0].stream


def test_books_are_counted_even_where_only_some_are_read(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "train" / "copy.txt").write_text("Book 1 of train")
    for options in (DataConfig(), DataConfig(max_documents=2)):
        _, (check,) = check_source(f"pg-19:{tmp_path}", options)
        assert (check.what, check.found, check.expected) == ("books", 13, 28_752)


def test_max_documents_chooses_the_books_that_it_would_keep(tmp_path: Path) -> None:
    write(tmp_path)
    some = load_corpus(f"pg-19:{tmp_path}", PARTIAL.replace(max_documents=4))
    folder = load_corpus(str(tmp_path / "train"), DataConfig())
    assert len(folder.documents) == 9
    assert [len(each) for each in ids(some)] == [4, 2, 1]
    (tmp_path / "train" / "new.txt").write_text("A new one")
    more = load_corpus(f"pg-19:{tmp_path}", PARTIAL.replace(max_documents=5))
    assert len(set(ids(some)[0]) & set(ids(more)[0])) >= 3


def test_json_lines_of_books_are_taken_too(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(json.dumps({"id": "emma", "text": "Emma Woodhouse"}))
    corpus = load_corpus(f"pg-19:{tmp_path}", PARTIAL)
    assert (corpus.name, ids(corpus)) == ("pg-19-partial", [["emma"], [], []])


def test_a_folder_without_books_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(Problem, match=r"no train/\*\.txt, validation/\*\.txt or test/\*\.txt there"):
        load_corpus(f"pg-19:{tmp_path}", PARTIAL)
