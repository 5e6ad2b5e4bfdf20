import gzip
import json
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.data import DataConfig, check_source, load_corpus
from mnemon.data.document import Document
from mnemon.data.subwords import train_bpe

PARTIAL = DataConfig(partial=True)


def page(words: int, name: str = "word") -> str:
    return " ".join(f"{name}{k}" for k in range(words))


def shard(folder: Path, split: str, number: int, texts: list[str], of: int = 2) -> None:
    rows = [json.dumps({"text": text, "url": f"http://x/{k}"}) for k, text in enumerate(texts)]
    name = f"c4-{split}.{number:05}-of-{of:05}.json.gz"
    (folder / name).write_bytes(gzip.compress("\n".join(rows).encode() + b"\n"))


def test_only_pages_of_4096_tokens_are_kept(tmp_path: Path) -> None:
    shard(tmp_path, "train", 0, [page(4096), page(4095), page(4095) + " ?!", ""])
    shard(tmp_path, "train", 1, [page(5000, "w")])
    corpus = load_corpus(f"c4-4k:{tmp_path}", PARTIAL)
    assert [document.id.rpartition("-")[2] for document in corpus.train] == ["00002:1", "00002:3", "00002:1"]
    assert corpus.skipped == {"shorter than 4096 tokens": 2}
    assert corpus.train[0].locate(0).file == "http://x/0"


def test_a_tokenizer_of_ones_own_counts_exactly(tmp_path: Path) -> None:
    shard(tmp_path, "train", 0, ["a" * 4096, "b" * 4095, page(2100)])
    tokenizer = train_bpe([Document("a", "x")], 257)  # single bytes
    tokenizer.save(tmp_path / "tokenizer.json")
    options = PARTIAL.replace(tokenizer="file", tokenizer_file=str(tmp_path / "tokenizer.json"))
    corpus = load_corpus(f"c4-4k:{tmp_path}", options)
    assert [len(document.text) for document in corpus.train] == [4096, len(page(2100))]


def test_validation_pages_are_dealt_to_valid_and_test(tmp_path: Path) -> None:
    shard(tmp_path, "validation", 0, [page(4100, f"v{k}w") for k in range(12)])
    corpus = load_corpus(f"c4-4k:{tmp_path}", PARTIAL)
    assert (len(corpus.train), len(corpus.valid) + len(corpus.test)) == (0, 12)
    assert corpus.valid
    assert corpus.test


def test_max_documents_ends_the_reading(tmp_path: Path) -> None:
    shard(tmp_path, "train", 0, [page(4100, f"v{k}w") for k in range(3)])
    (tmp_path / "c4-train.00001-of-00002.json.gz").write_bytes(b"never unpacked")
    corpus = load_corpus(f"c4-4k:{tmp_path}", PARTIAL.replace(max_documents=3))
    assert len(corpus.train) == 3
    with pytest.raises(Problem, match=r"c4-train\.00001"):
        load_corpus(f"c4-4k:{tmp_path}", PARTIAL.replace(max_documents=4))


def test_missing_shards_are_told(tmp_path: Path) -> None:
    shard(tmp_path, "train", 0, [page(4100)])
    _, checks = check_source(f"c4-4k:{tmp_path}", DataConfig())
    assert list(map(str, checks)) == ["train shards 1 of 1,024", "validation shards 0 of 8"]


def test_what_is_no_shard_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(Problem, match=r"no c4-train\.00000-of-01024\.json\.gz or the like there"):
        load_corpus(f"c4-4k:{tmp_path}", PARTIAL)
    for line, said in ((b"{", r"line 1: not JSON"), (b'{"url": 1}', "line 1: no string under 'text'")):
        (tmp_path / "c4-train.00000-of-00001.json.gz").write_bytes(gzip.compress(line))
        with pytest.raises(Problem, match=said):
            load_corpus(f"c4-4k:{tmp_path}", PARTIAL)


def test_json_lines_are_cut_to_the_long_ones_too(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        rows = [json.dumps({"text": page(n, split)}) for n in (4096, 10)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(rows))
    corpus = load_corpus(f"c4-4k:{tmp_path}", PARTIAL)
    assert [len(corpus.train), len(corpus.valid), len(corpus.test)] == [1, 1, 0]
    assert corpus.skipped == {"shorter than 4096 tokens": 2}


def test_the_whole_is_not_downloaded_by_mistake() -> None:
    with pytest.raises(Problem, match=r"c4-4k: the whole is 305 GB; say how many .* --data.max-documents"):
        load_corpus("c4-4k", PARTIAL.replace(download=True))
