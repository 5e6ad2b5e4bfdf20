from collections import Counter
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.data import NAMED, Check, Corpus, DataConfig, Document, Named, check_source, load_corpus
from mnemon.data.splits import corpus_of


def small(path: Path, options: DataConfig) -> Corpus:
    words = path.read_text().split()
    documents = [Document(f"d{i}", word) for i, word in enumerate(words)]
    return corpus_of("of the file", {"train": documents, "valid": [], "test": []}, Counter(), path)


THREE = Named("three", "three words", "free", "a dictionary", small, checks=lambda c: [Check("words", len(c.train), 3)])


def test_a_whole_copy_has_the_name_of_the_data_set(tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("one two three")
    assert THREE(str(tmp_path / "copy"), DataConfig()).name == "three"
    assert THREE(str(tmp_path / "copy"), DataConfig(partial=True)).name == "three"


def test_an_incomplete_copy_is_refused_or_named_so(tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("one two")
    with pytest.raises(Problem, match=r"copy: not the whole of three \(words 2 of 3\); complete it from a dictionary"):
        THREE(str(tmp_path / "copy"), DataConfig())
    found = THREE(str(tmp_path / "copy"), DataConfig(partial=True))
    assert (found.name, len(found.train)) == ("three-partial", 2)


def test_no_copy_and_no_download_say_what_to_do() -> None:
    with pytest.raises(Problem, match=r"three: give your copy as --data three:PATH \(a dictionary\)"):
        THREE("", DataConfig())
    with pytest.raises(Problem, match="three: there is no copy to download; get it from a dictionary"):
        THREE("", DataConfig(download=True))
    with pytest.raises(Problem, match="three:here: a copy is given, nothing is downloaded"):
        THREE("here", DataConfig(download=True))


def test_what_is_fetched_is_checked_too() -> None:
    documents = [Document("d", "one")]
    corpus = corpus_of("", {"train": documents, "valid": [], "test": []}, Counter(), "")
    fetching = Named("three", "", "", "a dictionary", small, lambda options: corpus, THREE.checks)
    with pytest.raises(Problem, match=r"the fetched copy: not the whole of three \(words 1 of 3\)"):
        fetching("", DataConfig(download=True))
    with pytest.raises(Problem, match="--data three:PATH, or --download"):
        fetching("", DataConfig())


@pytest.mark.parametrize("name", NAMED)
def test_every_known_data_set_says_where_a_copy_comes_from(name: str) -> None:
    each = NAMED[name]
    assert each.name == name
    assert all((each.about, each.licence, each.origin))
    with pytest.raises(Problem, match=f"{name}: give your copy as --data {name}:PATH"):
        load_corpus(name, DataConfig())
    with pytest.raises(Problem, match="no such file or folder"):
        load_corpus(f"{name}:gone", DataConfig())


def test_a_source_is_checked_without_being_refused(tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("a b c")
    corpus, checks = check_source(f"text8:{tmp_path / 'copy'}", DataConfig())
    assert corpus.name == "text8-partial"
    assert [check.ok for check in checks] == [False, False, False]
    assert str(checks[0]) == "bytes 5 of 100,000,000"
    assert check_source(str(tmp_path / "copy"), DataConfig())[1] == []
