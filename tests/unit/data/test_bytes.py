import lzma
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.data import DataConfig, load_corpus
from mnemon.data.bytes import pieces


def test_a_file_is_cut_in_proportion_and_nothing_is_lost(tmp_path: Path) -> None:
    text = "".join(chr(97 + k % 26) for k in range(1000))
    (tmp_path / "stream").write_text(text)
    corpus = load_corpus(str(tmp_path / "stream"), DataConfig())
    assert [len(corpus.split(split)[0].text) for split in ("train", "valid", "test")] == [900, 50, 50]
    assert "".join(document.text for document in corpus.documents) == text
    assert all(document.stream for document in corpus.documents)


def test_a_hundred_million_bytes_are_cut_as_everyone_does() -> None:
    assert [len(piece) for piece in pieces("a" * 100_000_000)] == [90_000_000, 5_000_000, 5_000_000]


@pytest.mark.parametrize("character", ["é", "世", "🎉"])
def test_no_character_is_cut_in_two(character: str) -> None:
    for before in range(5):
        text = "x" * before + character * 41
        assert "".join(pieces(text)) == text


def test_a_folder_with_splits_keeps_them(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt.xz").write_bytes(lzma.compress(f"the {split} text".encode()))
    corpus = load_corpus(str(tmp_path), DataConfig())
    assert [document.text for document in corpus.documents] == ["the train text", "the valid text", "the test text"]
    assert len({document.id for document in corpus.documents}) == 3


def test_a_stream_that_is_not_text_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"\x00\x01")
    with pytest.raises(Problem, match=r"data\.bin: binary"):
        load_corpus(str(tmp_path / "data.bin"), DataConfig())


def test_a_very_short_stream_has_no_empty_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("é")
    assert [document.text for document in load_corpus(str(tmp_path / "a.txt"), DataConfig()).documents] == ["é"]


def test_a_folder_without_splits_is_no_stream(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="a byte stream is a file"):
        load_corpus(f"bytes:{tmp_path}", DataConfig())
