import pytest

from mnemon.data import Document
from mnemon.data.words import Words

TRAINING = [Document("a", "the cat and\nthe dog\n"), Document("b", "and the end\n")]


def words(tokenizer: Words) -> list[str]:
    listed: list[str] = tokenizer.values()["words"]
    return listed


def test_the_vocabulary_is_sorted_by_frequency_then_spelling() -> None:
    assert words(Words.of(TRAINING)) == ["<eos>", "the", "and", "cat", "dog", "end", "<unk>"]


def test_rare_words_cut_off_count_as_unknown() -> None:
    assert words(Words.of(TRAINING, vocab_size=4)) == ["<eos>", "<unk>", "the", "and"]
    assert Words.of(TRAINING, vocab_size=50).vocab_size == 7


def test_every_line_end_is_the_token_eos_and_strangers_are_unknown() -> None:
    tokenizer = Words.of(TRAINING)
    listed = words(tokenizer)
    ids = tokenizer.encode("the bird\n\n cat <unk>")
    assert [listed[i] for i in ids] == ["the", "<unk>", "<eos>", "<eos>", "cat", "<unk>"]
    assert tokenizer.decode(ids) == "the <unk>\n\ncat <unk>"


def test_an_unknown_written_in_the_training_text_is_counted_as_a_word() -> None:
    tokenizer = Words.of([Document("a", "<unk> <unk> b\n")])
    assert words(tokenizer) == ["<unk>", "<eos>", "b"]


def test_a_large_text_is_taken_in_pieces_and_comes_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "the cat and\nthe  dog\n\n and the\tend"
    whole = Words.of([Document("a", text)])
    ids = whole.encode(text)
    for size in (0, 1, 5, 13):
        monkeypatch.setattr("mnemon.data.words.PIECE", size)
        assert words(Words.of([Document("a", text)])) == words(whole)
        assert whole.encode(text).tolist() == ids.tolist()
    assert whole.encode("").tolist() == []
    assert words(whole)[whole.eos] == "<eos>"


def test_spans_are_the_words_and_line_ends() -> None:
    text = "  the cat\nand"
    assert [text[start:end] for start, end in Words.of(TRAINING).spans(text)] == ["the", "cat", "\n", "and"]


def test_decoding_joins_words_by_one_space() -> None:
    tokenizer = Words.of(TRAINING)
    assert tokenizer.decode(tokenizer.encode("the   cat\n\tdog\n")) == "the cat\ndog\n"
    assert tokenizer.start is None
    odd = Words.of([Document("a", "x<eos>y\n")])
    assert odd.decode(odd.encode("x<eos>y\nx<eos>y")) == "x<eos>y\nx<eos>y"
