from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemon.config import Problem
from mnemon.data import Document
from mnemon.data.splits import divided


def documents(names: list[str]) -> list[Document]:
    return [Document(name, f"text of {name}") for name in names]


@given(st.sets(st.text(alphabet="abcdef", min_size=1, max_size=4), min_size=1, max_size=40))
def test_splits_hold_each_document_once_and_none_is_empty_from_three_on(names: set[str]) -> None:
    corpus = divided("c", documents(sorted(names)), Counter(), "here")
    assert sorted(document.id for document in corpus.documents) == sorted(names)
    if len(names) >= 3:
        assert corpus.train
        assert corpus.valid
        assert corpus.test


def test_a_document_keeps_its_split_when_others_are_added() -> None:
    names = [f"d{k}" for k in range(300)]
    few, many = (divided("c", documents(some), Counter(), "here") for some in (names[:150], names))
    for split in ("train", "valid", "test"):
        assert {document.id for document in few.split(split)} <= {document.id for document in many.split(split)}
    assert 0.7 < len(many.train) / 300 < 0.9


def test_nothing_left_is_a_problem_that_counts_why() -> None:
    with pytest.raises(Problem, match=r"here: no text to read \(2 empty\)"):
        divided("c", [Document("a", ""), Document("b", "")], Counter(), "here")
