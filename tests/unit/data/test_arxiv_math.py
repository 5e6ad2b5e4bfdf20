import json
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.data import DataConfig, load_corpus

MAIN = "\\documentclass{amsart}\n\\input{a}\n"


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def test_a_paper_is_a_folder_or_a_file_and_begins_with_its_main_file(tmp_path: Path) -> None:
    files = {
        "0704.0001/a.tex": b"Lemma",
        "0704.0001/z.tex": MAIN.encode(),
        "0704.0001/fig.eps": b"\0",
        "0704.0002.tex": b"%\\documentclass{old}\nText",
        "0704.0003/sub/only.tex": b"% no main\nProof",
    }
    write(tmp_path, files)
    corpus = load_corpus(f"arxiv-math:{tmp_path}", DataConfig())
    assert corpus.name == "arxiv-math"
    assert {document.id: document.text for document in corpus.documents} == {
        "0704.0001": f"# 0704.0001/z.tex\n{MAIN}# 0704.0001/a.tex\nLemma\n",
        "0704.0002": "%\\documentclass{old}\nText",
        "0704.0003": "% no main\nProof",
    }


def test_a_file_that_is_not_utf8_is_left_out_or_named(tmp_path: Path) -> None:
    write(tmp_path, {"one/a.tex": "Poincaré".encode("latin-1"), "two/b.tex": b"Text"})
    assert load_corpus(f"arxiv-math:{tmp_path}", DataConfig()).skipped == {"not UTF-8": 1}
    with pytest.raises(Problem, match=r"one/a\.tex: not UTF-8"):
        load_corpus(f"arxiv-math:{tmp_path}", DataConfig(strict=True))


def test_json_lines_keep_their_splits(tmp_path: Path) -> None:
    write(tmp_path, {"train.jsonl": json.dumps({"text": MAIN}).encode(), "test.jsonl": b'{"text": "Lemma"}'})
    corpus = load_corpus(f"arxiv-math:{tmp_path}", DataConfig())
    assert [len(corpus.train), len(corpus.valid), len(corpus.test)] == [1, 0, 1]
    assert len(load_corpus(f"arxiv-math:{tmp_path / 'test.jsonl'}", DataConfig()).documents) == 1


def test_a_folder_without_latex_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": b"text"})
    with pytest.raises(Problem, match=r"no \.tex file there"):
        load_corpus(f"arxiv-math:{tmp_path}", DataConfig())
