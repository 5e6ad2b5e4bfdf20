import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from mnemon.data import DataConfig, Tokenizer, make_tokenizer
from mnemon.data.byte_tokens import Bytes
from mnemon.generate.generation import Decoding

BPE = make_tokenizer(DataConfig(tokenizer="bpe", vocab_size=280), tiny.documents())
WORDS = make_tokenizer(DataConfig(tokenizer="words"), tiny.documents())


def said(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    decoding = Decoding(tokenizer)
    parts = [decoding.add(token, last=i + 1 == len(ids)) for i, token in enumerate(ids)]
    assert decoding.text == "".join(parts)
    assert decoding.ids == ids
    return parts


def test_nothing_is_said_inside_a_character() -> None:
    assert said(Bytes(), list("aé😀b".encode())) == ["a", "", "é", "", "", "", "😀", "b"]


def test_an_unfinished_character_at_the_end_is_said_as_a_replacement() -> None:
    assert said(Bytes(), [97, 0xC3]) == ["a", "\ufffd"]


@pytest.mark.parametrize("tokenizer", [Bytes(), BPE, WORDS], ids=["bytes", "bpe", "words"])
@pytest.mark.parametrize("document", tiny.documents(), ids=lambda document: document.id)
def test_what_is_said_token_by_token_is_the_text(tokenizer: Tokenizer, document: tiny.Document) -> None:
    ids = tokenizer.encode(document.text).tolist()
    assert "".join(said(tokenizer, ids)) == tokenizer.decode(ids)


@given(st.lists(st.integers(0, 255), min_size=1, max_size=12))
def test_any_bytes_are_said_as_they_decode_together(ids: list[int]) -> None:
    assert "".join(said(Bytes(), ids)) == Bytes().decode(ids)


@given(st.lists(st.integers(0, BPE.vocab_size - 1), min_size=1, max_size=12))
def test_any_byte_pairs_are_said_as_they_decode_together(ids: list[int]) -> None:
    assert "".join(said(BPE, ids)) == BPE.decode(ids)
