import zipfile
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.data import DataConfig, load_corpus, make_tokenizer
from mnemon.data.wikitext103 import WIKITEXT103, tokens

PARTIAL = DataConfig(partial=True)
LINES = " \n = A heading = \n \n The <unk> of\u00a0it , 10 @,@ 000 of them . \n"


def test_tokens_are_words_and_line_ends_as_the_tokenizer_counts_them(tmp_path: Path) -> None:
    (tmp_path / "wiki.train.tokens").write_text(LINES)
    (document,) = load_corpus(f"wikitext-103:{tmp_path}", PARTIAL).train
    words = make_tokenizer(DataConfig(tokenizer="words"), [document])
    assert tokens(LINES) == len(words.encode(document.text)) == 19
    assert words.values()["words"][:3] == ["<eos>", "=", "of"]


@pytest.mark.parametrize("name", ["wiki.{}.tokens", "{}.txt"])
def test_each_split_is_one_stream(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "copy.zip", "w") as archive:
        for k, split in enumerate(("train", "valid", "test"), start=1):
            archive.writestr("wikitext-103/" + name.format(split), LINES * k)
    corpus = load_corpus(f"wikitext-103:{tmp_path / 'copy.zip'}", PARTIAL)
    texts = [[(document.text, document.stream) for document in corpus.split(s)] for s in ("train", "valid", "test")]
    assert texts == [[(LINES * k, True)] for k in (1, 2, 3)]
    assert [str(check) for check in WIKITEXT103.checks(corpus)] == [
        "train tokens 19 of 103,227,021",
        "valid tokens 38 of 217,646",
        "test tokens 57 of 245,569",
    ]


def test_an_incomplete_copy_says_which_part_is_missing(tmp_path: Path) -> None:
    (tmp_path / "valid.txt").write_text(LINES)
    with pytest.raises(Problem, match="train tokens 0 of 103,227,021, valid tokens 19 of 217,646, test tokens 0"):
        load_corpus(f"wikitext-103:{tmp_path}", DataConfig())


def test_other_files_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "readme").write_text("text")
    with pytest.raises(Problem, match=r"no wiki\.train\.tokens"):
        load_corpus(f"wikitext-103:{tmp_path}", PARTIAL)
    (tmp_path / "wiki.train.raw").write_text("text")
    with pytest.raises(Problem, match=r"the raw form; the words are in wikitext-103-v1"):
        load_corpus(f"wikitext-103:{tmp_path}", PARTIAL)
