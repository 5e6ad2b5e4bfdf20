import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemon.config import Problem
from mnemon.data import Corpus, Document, Place
from mnemon.data.document import fingerprint, heading, joined

FILES = [("a/one.py", "x = 1\ny = 2\n"), ("a/two.py", "no end"), ("a/empty.py", ""), ("a/three.py", "\n\nz\n")]


def test_every_character_of_joined_files_is_located_in_its_file_and_line() -> None:
    document = joined("a", FILES)
    at = 0
    for path, text in FILES:
        for _ in heading(path):
            assert document.locate(at) == Place("a", path, 1)
            at += 1
        for number, line in enumerate((text if text.endswith("\n") else text + "\n").splitlines(keepends=True), 1):
            for _ in line:
                assert document.locate(at) == Place("a", path, number)
                at += 1
    assert at == len(document.text)


@given(st.lists(st.text(alphabet="ab\n#", max_size=8), min_size=1, max_size=5))
def test_joined_files_stand_where_files_says(texts: list[str]) -> None:
    document = joined("d", [(f"f{k}", text) for k, text in enumerate(texts)])
    for (start, path), text in zip(document.files, texts, strict=True):
        assert document.text[start:].startswith(text)
        assert document.text[:start].endswith(f"# {path}\n")


def test_a_single_file_is_located_without_a_heading() -> None:
    document = Document("d", "one\n# d\nthree", files=((0, "d.txt"),))
    assert [document.locate(k).line for k in (0, 3, 4, 8, 13)] == [1, 1, 2, 3, 3]


def test_a_document_without_files_names_its_source() -> None:
    assert Document("d", "a\nb", source="s").locate(2) == Place("d", "s", 2)
    assert Document("d", "a\nb").locate(2) == Place("d", "d", 2)


@pytest.mark.parametrize("character", [-1, 4])
def test_a_character_outside_the_text_is_refused(character: int) -> None:
    with pytest.raises(IndexError, match="which has 3"):
        Document("d", "abc").locate(character)


def test_splits_of_a_corpus_by_name() -> None:
    one, two, three = (Document(name, name) for name in "abc")
    corpus = Corpus("c", [one], [two], [three], {}, "")
    assert corpus.documents == [one, two, three]
    assert corpus.split("valid") == [two]
    with pytest.raises(Problem, match=r"no split 'vaild' \(did you mean 'valid'\?\)"):
        corpus.split("vaild")


def test_the_fingerprint_sees_names_texts_and_splits() -> None:
    one, two = Document("a", "bc"), Document("ab", "c")
    prints = [fingerprint(splits) for splits in ([[one], []], [[], [one]], [[two], []], [[one, two], []])]
    assert len(set(prints)) == 4
    assert fingerprint([[one], []]) == prints[0]
