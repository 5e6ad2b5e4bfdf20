import lzma
import string
import zipfile
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.data import Corpus, DataConfig, load_corpus, make_tokenizer
from mnemon.data.enwik8 import ENWIK8
from mnemon.data.stream import stream_checks
from mnemon.data.text8 import TEXT8

PARTIAL = DataConfig(partial=True)
TEXT = "".join(string.ascii_lowercase[k * k % 26] if k % 7 else " " for k in range(1000))


def sizes(corpus: Corpus) -> list[int]:
    return [sum(len(document.text) for document in corpus.split(split)) for split in ("train", "valid", "test")]


def test_a_stream_is_found_in_a_file_a_zip_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name, data in {"text8": TEXT.encode(), "other": b"x"}.items():
        (tmp_path / "a" / name).write_bytes(data)
    with zipfile.ZipFile(tmp_path / "text8.zip", "w") as archive:
        archive.writestr("text8", TEXT)
    (tmp_path / "begin.xz").write_bytes(lzma.compress(TEXT.encode()))
    found = [load_corpus(f"text8:{tmp_path / place}", PARTIAL) for place in ("a", "a/text8", "text8.zip", "begin.xz")]
    for corpus in found:
        assert sizes(corpus) == [900, 50, 50]
        assert "".join(document.text for document in corpus.documents) == TEXT
        assert all(document.stream for document in corpus.documents)
        assert corpus.fingerprint == found[0].fingerprint


def test_files_that_are_split_already_stay_so(tmp_path: Path) -> None:
    for split, length in (("train", 7), ("valid", 5), ("test", 3)):
        (tmp_path / f"{split}.txt.xz").write_bytes(lzma.compress(TEXT[:length].encode()))
    assert sizes(load_corpus(f"enwik8:{tmp_path}", PARTIAL)) == [7, 5, 3]


def test_a_beginning_may_end_inside_a_character(tmp_path: Path) -> None:
    data = "xyz世".encode()
    for length, text in ((6, "xyz世"), (5, "xyz"), (4, "xyz"), (3, "xyz")):
        (tmp_path / "enwik8").write_bytes(data[:length])
        found = load_corpus(f"enwik8:{tmp_path}", PARTIAL)
        assert "".join(document.text for document in found.documents) == text


def test_a_folder_without_the_stream_is_a_problem(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text("text")
    with pytest.raises(Problem, match=r"no file enwik8 there, and no train\.txt"):
        load_corpus(f"enwik8:{tmp_path}", PARTIAL)
    (tmp_path / "enwik8").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Problem, match="binary"):
        load_corpus(f"enwik8:{tmp_path}", PARTIAL)


def test_length_and_md5_of_all_splits_together_are_checked(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("abc")
    corpus = load_corpus(f"bytes:{tmp_path / 'a'}", DataConfig())
    found = stream_checks(corpus, "900150983cd24fb0d6963f7d28e17f72")  # that of RFC 1321
    assert [(check.what, check.found, check.ok) for check in found] == [
        ("bytes", 3, False),
        ("md5", "900150983cd24fb0d6963f7d28e17f72", True),
    ]
    assert [check.expected for check in ENWIK8.checks(corpus)] == [100_000_000, "a1fa5ffddb56f4953e226637dabbb36a"]


def test_text8_has_27_symbols_and_its_tokenizer_28(tmp_path: Path) -> None:
    (tmp_path / "text8").write_text(TEXT + string.ascii_lowercase * 50)
    corpus = load_corpus(f"text8:{tmp_path}", PARTIAL)
    *_, symbols = TEXT8.checks(corpus)
    assert symbols.ok
    assert make_tokenizer(DataConfig(tokenizer="symbols"), corpus.train).vocab_size == 28
    (tmp_path / "text8").write_text("Digit 8")
    *_, symbols = TEXT8.checks(load_corpus(f"text8:{tmp_path}", PARTIAL))
    assert (symbols.ok, symbols.found) == (False, " 8Dgit")
