from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.data import DATASETS, DataConfig, load_corpus
from mnemon.data.source import resolved

KNOWN = list(DATASETS)


def test_a_source_is_resolved_by_what_it_names(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl.zst", "enwik8", "c.txt.xz"):
        (tmp_path / name).touch()
    assert resolved("python-env", KNOWN) == ("python-env", "")
    assert resolved(str(tmp_path), KNOWN) == ("folder", str(tmp_path))
    assert resolved(f"{tmp_path}/*.txt", KNOWN) == ("folder", f"{tmp_path}/*.txt")
    assert resolved(f"{tmp_path}/a.jsonl", KNOWN)[0] == "jsonl"
    assert resolved(f"{tmp_path}/b.jsonl.zst", KNOWN)[0] == "jsonl"
    assert resolved(f"{tmp_path}/enwik8", KNOWN)[0] == "bytes"
    assert resolved(f"{tmp_path}/c.txt.xz", KNOWN)[0] == "bytes"


def test_a_kind_before_the_path_wins(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        (tmp_path / f"{split}.txt").write_text(f"text of {split}")
    assert resolved(str(tmp_path), KNOWN)[0] == "bytes"
    corpus = load_corpus(f"folder:{tmp_path}", DataConfig())
    assert {document.id for document in corpus.documents} == {"train.txt", "valid.txt"}


def test_a_name_with_brackets_that_exists_is_no_glob(tmp_path: Path) -> None:
    (tmp_path / "a[1]").mkdir()
    assert resolved(f"{tmp_path}/a[1]", KNOWN) == ("folder", f"{tmp_path}/a[1]")


def test_an_unknown_source_names_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shakespeare.txt").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Problem, match=r"data source 'pyton-env'.*did you mean 'python-env'\?"):
        load_corpus("pyton-env", DataConfig())
    with pytest.raises(Problem, match=r"did you mean 'shakespeare.txt'\?"):
        load_corpus("shakespere.txt", DataConfig())
    with pytest.raises(Problem, match=r"known: arxiv-math, bytes, .*python-env"):
        load_corpus("/no/such/place/at/all", DataConfig())


def test_max_documents_limits_each_split_and_says_so(tmp_path: Path) -> None:
    for k in range(60):
        (tmp_path / f"{k}.txt").write_text(f"text {k}")
    whole = load_corpus(str(tmp_path), DataConfig())
    some = load_corpus(str(tmp_path), DataConfig(max_documents=2))
    assert [len(some.train), len(some.valid), len(some.test)] == [2, 2, 2]
    assert some.skipped == {"beyond max_documents": 54}
    assert {document.id for document in some.train} <= {document.id for document in whole.train}
    assert some.fingerprint != whole.fingerprint
    assert load_corpus(str(tmp_path), DataConfig(max_documents=60)) == whole


def test_no_source_is_not_the_current_folder() -> None:
    with pytest.raises(Problem, match="no data source given"):
        resolved("", ["folder"])


def test_a_file_with_the_name_of_a_known_data_set_is_a_copy_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text8").write_text(" anarchism originated")
    with pytest.raises(Problem, match=r"text8: not the whole of text8 \(bytes 21 of 100,000,000"):
        load_corpus("text8", DataConfig())
    assert load_corpus("text8", DataConfig(partial=True)).name == "text8-partial"
    assert load_corpus("./text8", DataConfig()).name == "text8"  # a byte stream like any other


def test_only_known_data_sets_are_downloaded(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"nothing to download; that is for known data sets: enwik8, text8"):
        load_corpus(str(tmp_path), DataConfig(download=True))
