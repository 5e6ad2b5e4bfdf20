from pathlib import Path

import pytest
from tokenizers import Tokenizer as Library
from tokenizers import models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import tiny
from mnemon.config import Problem
from mnemon.data import DataConfig, Tokenizer, make_tokenizer
from mnemon.data.byte_tokens import Bytes
from mnemon.data.subwords import Subwords
from mnemon.data.words import Words
from mnemon.hub import fast_tokenizer

TOKENIZERS: dict[str, Tokenizer] = {
    "bytes": Bytes(),
    "symbols": make_tokenizer(DataConfig(tokenizer="symbols"), tiny.documents()),
    "words": make_tokenizer(DataConfig(tokenizer="words"), tiny.documents()),
    "few words": Words(["<eos>", "<unk>", "a", "b", "the", "a<eos>b", "<pad"]),
    "bpe": make_tokenizer(DataConfig(tokenizer="bpe", vocab_size=280), tiny.documents()),
}
PLAIN = [document.text for document in tiny.documents()] + ["", "\n", "\n\n  a\n", "a\n \nb"]
ODD = ["<start>", "a <eos> b", "a<eos>b <eos>\n", "<pad> <unk> a", "a\t\x1dthe\r\n", " \u2028 a \xa0b", "é😀\u0301"]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_ids_and_texts_are_those_of_our_own(name: str, tmp_path: Path) -> None:
    own = TOKENIZERS[name]
    fast_tokenizer(own).save_pretrained(tmp_path)
    fast = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(fast, PreTrainedTokenizerFast)
    start = [] if own.start is None else [own.start]
    for text in PLAIN + (ODD if name != "symbols" else []):
        ids = own.encode(text).tolist()
        assert fast(text)["input_ids"] == start + ids
        assert fast(text, add_special_tokens=False)["input_ids"] == ids
        assert fast.decode(ids) == own.decode(ids)
        assert fast.decode(start + ids, skip_special_tokens=True) == own.decode(ids)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_padding_stands_on_the_left_with_an_id_of_its_own(name: str) -> None:
    own = TOKENIZERS[name]
    batch = fast_tokenizer(own)(["the", "the a\n"], padding=True)
    assert set(batch) == {"input_ids", "attention_mask"}
    first, second = batch["input_ids"]
    gap = len(second) - len(own.encode("the")) - (own.start is not None)
    assert first[:gap] == [own.vocab_size] * gap
    assert batch["attention_mask"] == [[0] * gap + [1] * (len(first) - gap), [1] * len(second)]


def test_a_byte_that_is_no_symbol_is_an_error() -> None:
    with pytest.raises(Exception, match="Missing"):
        fast_tokenizer(TOKENIZERS["symbols"])("<")


def test_a_vocabulary_with_gaps_is_a_problem() -> None:
    gapped = Subwords(Library(models.WordLevel({"a": 0, "b": 5}, "a")))
    with pytest.raises(Problem, match="the tokenizer's ids have gaps"):
        fast_tokenizer(gapped)


def test_a_padding_token_of_the_vocabulary_is_used() -> None:
    own = Subwords(Library(models.WordLevel({"a": 0, "<pad>": 5}, "a")))
    assert fast_tokenizer(own).pad_token_id == 5
