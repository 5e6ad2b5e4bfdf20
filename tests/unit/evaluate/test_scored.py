import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from mnemon.data import DataConfig, Document, Tokenizer, make_tokenizer
from mnemon.data.byte_tokens import Bytes
from mnemon.evaluate.scored import Scored, token_bytes

TOKENIZERS: dict[str, Tokenizer] = {
    kind: make_tokenizer(DataConfig(tokenizer=kind), tiny.documents()) for kind in ("bytes", "symbols", "words")
}
TOKENIZERS["bpe"] = make_tokenizer(DataConfig(tokenizer="bpe", vocab_size=300), tiny.documents())


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize("document", tiny.documents(), ids=lambda document: document.id)
def test_bytes_of_all_tokens_are_the_bytes_of_the_text(tokenizer: Tokenizer, document: Document) -> None:
    sizes = token_bytes(document.text, tokenizer)
    assert len(sizes) == len(tokenizer.encode(document.text))
    assert sizes.sum() == tokenizer.n_bytes(document.text)
    assert (sizes > 0).all()


@given(st.text(alphabet="aé—\U0001f600 \n"))
def test_each_token_of_a_byte_tokenizer_is_one_byte(text: str) -> None:
    assert token_bytes(text, Bytes()).tolist() == [1] * len(text.encode("utf-8"))


@given(st.text())
def test_bytes_add_up_for_any_text(text: str) -> None:
    tokenizer = TOKENIZERS["bpe"]
    if len(tokenizer.encode(text)):
        assert token_bytes(text, tokenizer).sum() == len(text.encode("utf-8"))


def test_white_space_belongs_to_the_word_behind_it_and_at_the_end_to_the_last() -> None:
    assert token_bytes("  a  bc d \t ", TOKENIZERS["words"]).tolist() == [3, 4, 5]
    assert token_bytes("a — b", TOKENIZERS["words"]).tolist() == [1, 4, 2]


def test_a_scored_document_has_its_bits_and_bytes() -> None:
    scored = Scored("d", np.arange(2), np.array([math.log(2), math.log(8)], np.float32), np.array([3, 4]))
    assert scored.total_bits == pytest.approx(4.0)
    assert scored.total_bytes == 7
