import importlib.util
import json
from pathlib import Path

import datasets
import pytest

from mnemon.config import Problem
from mnemon.data import DataConfig, load_corpus
from mnemon.data.hub import rows

FETCH = DataConfig(download=True, partial=True)
LONG = " ".join(f"word{k}" for k in range(4100))


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The `datasets` library with a cache of the test's own."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


def copy(folder: Path, splits: dict[str, list[dict[str, str]]], config: str = "default") -> str:
    """A data set as it lies on the hub: JSON Lines and a card that says which file is which split."""
    folder.mkdir()
    files = "\n".join(f"  - split: {split}\n    path: {split}.jsonl" for split in splits)
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: {config}\n  data_files:\n{files}\n---\n")
    for split, found in splits.items():
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, found)))
    return str(folder)


def test_the_extra_is_named_where_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Problem, match=r"pg-19: fetching needs the package datasets: pip install 'mnemon\[data\]'"):
        load_corpus("pg-19", FETCH)


@pytest.mark.usefixtures("library")
def test_what_the_library_cannot_load_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"x: cannot be fetched from .*/gone \(.*\); .* --data x:PATH") as error:
        list(rows("x", "train", str(tmp_path / "gone")))
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("library")
def test_lines_of_wikitext_are_put_together_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [{"text": text} for text in ("", " = A = \n", "", " of it \n")]
    splits = {"train": lines, "validation": lines[:2], "test": lines[1:]}
    place = copy(tmp_path / "wiki", splits, "wikitext-103-v1")
    monkeypatch.setattr("mnemon.data.wikitext103.HUB", (place, "wikitext-103-v1"))
    corpus = load_corpus("wikitext-103", FETCH)
    assert [document.text for document in corpus.documents] == [
        "\n = A = \n\n of it \n",
        "\n = A = \n",
        " = A = \n\n of it \n",
    ]


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("most", [None, 2])
def test_books_come_with_their_titles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int | None) -> None:
    books = [{"short_book_title": f"Book {k % 2}", "text": f"Text {k}"} for k in range(3)]
    place = copy(tmp_path / "books", {"train": books, "validation": books[:1], "test": books[2:]})
    monkeypatch.setattr("mnemon.data.pg19.HUB", place)
    corpus = load_corpus("pg-19", FETCH.replace(max_documents=most))
    assert [document.text for document in corpus.train] == ["Text 0", "Text 1", "Text 2"][:most]
    assert [document.locate(0).file for document in corpus.train][:2] == ["train/Book 0", "train/Book 1"]
    assert [document.id for document in corpus.test] == ["test/Book 0#0"]


@pytest.mark.usefixtures("library")
def test_long_pages_are_read_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [{"text": text, "url": f"http://x/{k}"} for k, text in enumerate(["short", LONG, "too short", LONG + "."])]
    place = copy(tmp_path / "c4", {"train": pages, "validation": pages[:2]}, "en")
    monkeypatch.setattr("mnemon.data.c4.HUB", (place, "en"))
    corpus = load_corpus("c4-4k", FETCH.replace(max_documents=1))
    assert [document.id for document in corpus.train] == ["train:2"]
    assert len(corpus.valid) + len(corpus.test) == 1
    assert corpus.skipped == {"shorter than 4096 tokens": 2}
