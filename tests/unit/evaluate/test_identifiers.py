import re

import numpy as np
import pytest

from mnemon.data.byte_tokens import Bytes
from mnemon.data.words import Words
from mnemon.evaluate.identifiers import KINDS, kinds, name_of, names


def spans(text: str, pattern: str) -> np.ndarray:
    """Tokens cut where a pattern matches."""
    return np.array([match.span() for match in re.finditer(pattern, text)], np.int64).reshape(-1, 2)


def test_a_name_is_a_longest_run_and_reaches_over_all_its_tokens() -> None:
    text = "load_it(x1, 42); load_it"
    found = names(text, spans(text, r" ?[a-z]+|[_0-9]+|\W"))  # load _ it ( x 1 , " " 42 ) ; " load" _ it
    assert [(each.text, each.first, each.last) for each in found] == [
        ("load_it", 0, 2),
        ("x1", 4, 5),
        ("load_it", 11, 13),
    ]
    assert [(each.before, each.gap) for each in found] == [(0, None), (0, None), (1, 9)]


def test_a_name_that_the_last_token_cuts_is_left_out() -> None:
    text = "alpha beta gamma"
    whole, cut = (spans(text, r"\w{1,3}| ")[:n] for n in (None, 4))
    assert [each.text for each in names(text, whole)] == ["alpha", "beta", "gamma"]
    assert [each.text for each in names(text, cut)] == ["alpha"]


def test_a_token_of_several_names_belongs_to_the_first() -> None:
    text = "a.b c"
    found = names(text, Words(["<eos>", "<unk>"]).spans(text))
    assert [(each.text, each.first) for each in found] == [("a", 0), ("b", 0), ("c", 1)]
    assert name_of(found, 3).tolist() == [0, 2, -1]


def test_each_token_has_a_kind() -> None:
    text = "ab = ab+c; 12 é ab\n"
    found = kinds(text, spans(text, r"\w+|\s|[^\w\s]"), window=6)
    told = [KINDS[kind] for kind in found]
    new, recent, returning = "new name", "recent name", "returning name"
    assert told == [
        *(new, "other", "punctuation", "other", recent, "punctuation", new, "punctuation"),
        *("other", "number", "other", "other", "other", returning, "other"),
    ]


@pytest.mark.parametrize(("window", "kind"), [(4, "returning name"), (5, "recent name")])
def test_the_window_ends_where_the_token_before_no_longer_sees(window: int, kind: str) -> None:
    """`ab` is asked for by the token before it, from which the first `ab` ends five tokens away."""
    text = "ab.....ab"
    found = kinds(text, Bytes().spans(text), window)
    assert KINDS[found[7]] == KINDS[found[8]] == kind


def test_an_empty_text_has_no_names() -> None:
    assert names("", np.zeros((0, 2), np.int64)) == []
    assert len(kinds("", np.zeros((0, 2), np.int64), 8)) == 0
    assert name_of([], 2).tolist() == [-1, -1]
