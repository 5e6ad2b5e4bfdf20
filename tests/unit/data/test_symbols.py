import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemon.config import Problem
from mnemon.data import Document
from mnemon.data.symbols import Symbols

SYMBOLS = Symbols.of([Document("a", "banana\n"), Document("b", "éd")])


def test_the_vocabulary_is_the_bytes_of_training_and_one_line_end() -> None:
    assert SYMBOLS.vocab_size == len({*b"ban", *b"d", *"é".encode()}) + 1
    assert Symbols.of([Document("a", "abc")]).vocab_size == 4


def test_a_line_end_is_the_token_eos() -> None:
    assert SYMBOLS.encode("a\nb").tolist() == [1, 0, 2]


@given(st.text(alphabet="band\né", max_size=30))
def test_text_of_known_symbols_comes_back(text: str) -> None:
    assert SYMBOLS.decode(SYMBOLS.encode(text)) == text


def test_spans_name_the_character_of_each_byte() -> None:
    assert SYMBOLS.spans("aéb").tolist() == [[0, 1], [1, 2], [1, 2], [2, 3]]


def test_a_symbol_that_training_never_saw_is_a_problem() -> None:
    with pytest.raises(Problem, match=r"byte 120 at 2 .* is no symbol of the training text"):
        SYMBOLS.encode("bax")


def test_there_is_no_start() -> None:
    assert SYMBOLS.start is None
