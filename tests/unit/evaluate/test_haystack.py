import numpy as np
import pytest

from mnemon.config import Problem
from mnemon.evaluate.haystack import PIECE, Haystack, Piece, woven

TEXT = "".join(f"line {n} of some text\n" for n in range(200))


@pytest.mark.parametrize(
    "text", [TEXT, "\n\n a\n", "no end", "word " * 100 + "\nx", "x" * 400 + "\n", "a b " + "y" * 159]
)
def test_pieces_put_together_are_the_text(text: str) -> None:
    pieces = PIECE.findall(text)
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 161


def test_a_long_line_is_cut_behind_a_word() -> None:
    assert all(
        piece.strip(" ").startswith("word") and len(piece.strip()) % 5 == 4 for piece in PIECE.findall("word " * 99)
    )


def test_lines_are_those_of_one_place_and_as_long_as_asked_for() -> None:
    pieces = Haystack([TEXT], len).draw(np.random.default_rng(0), 500)
    assert sum(piece.tokens for piece in pieces[:-1]) < 500 <= sum(piece.tokens for piece in pieces)
    assert "".join(piece.text for piece in pieces) in TEXT


def test_a_short_text_is_followed_by_another() -> None:
    pieces = Haystack(["one\n", "\n", "two\n"], len).draw(np.random.default_rng(0), 40)
    assert {piece.text for piece in pieces} == {"one\n", "two\n"}


def test_the_draw_is_that_of_the_generator() -> None:
    first, again, other = (Haystack([TEXT], len).draw(np.random.default_rng(seed), 99) for seed in (1, 1, 2))
    assert first == again != other


def test_an_empty_haystack_is_refused() -> None:
    with pytest.raises(Problem, match="no text"):
        Haystack([" \n", ""], len)


def test_sentences_are_lines_at_their_depths() -> None:
    pieces = [Piece("aa\n", 3), Piece("bb", 3), Piece("cc\n", 3)]
    text, spans = woven(pieces, [(4, "LATE"), (0, "EARLY"), (99, "LAST"), (6, "LATER")])
    assert text == "EARLY\naa\nbb\nLATE\nLATER\ncc\nLAST\n"
    assert [text[first:last] for first, last in spans] == ["LATE", "EARLY", "LAST", "LATER"]


def test_sentences_alone_keep_their_order() -> None:
    assert woven([], [(0, "one"), (1, "two")]) == ("one\ntwo\n", [(0, 3), (4, 7)])
