import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from mnemon.config import Problem
from mnemon.data import DataConfig, load_corpus

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
ROWS = [{"id": f"r{k}", "source": f"s{k}", "text": f"text {k}\nwith a line"} for k in range(12)]


def write(path: Path, rows: list[object]) -> str:
    suffix = path.suffix if path.suffix in PACK else ""
    path.write_bytes(PACK[suffix]("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return str(path)


@pytest.mark.parametrize("suffix", PACK)
def test_a_file_gives_one_document_a_line(tmp_path: Path, suffix: str) -> None:
    corpus = load_corpus(write(tmp_path / f"a.jsonl{suffix}", list(ROWS)), DataConfig())
    found = {(document.id, document.source, document.text) for document in corpus.documents}
    assert found == {(row["id"], row["source"], row["text"]) for row in ROWS}
    assert corpus.name == "a"
    assert corpus.documents[0].locate(8).line == 2


def test_ids_are_made_where_none_are_given_and_told_apart(tmp_path: Path) -> None:
    rows = [{"text": "a"}, {"text": "b", "id": 7}, {"text": "c", "id": "7"}, {"text": "d", "id": None}]
    corpus = load_corpus(write(tmp_path / "a.jsonl", list(rows)), DataConfig())
    assert {document.id: document.text for document in corpus.documents} == {
        "a.jsonl:1": "a",
        "7": "b",
        "7#2": "c",
        "a.jsonl:4": "d",
    }
    assert all(document.source is None for document in corpus.documents)


@pytest.mark.parametrize("suffix", PACK)
def test_a_folder_with_splits_keeps_them(tmp_path: Path, suffix: str) -> None:
    for k, split in enumerate(("train", "valid", "test")):
        write(tmp_path / f"{split}.jsonl{suffix}", list(ROWS[4 * k : 4 * k + 4]))
    (tmp_path / "README.md").write_text("not a document")
    corpus = load_corpus(str(tmp_path), DataConfig())
    assert [document.id for document in corpus.valid] == ["r4", "r5", "r6", "r7"]
    assert [document.id for document in corpus.documents] == [row["id"] for row in ROWS]


def test_the_same_id_in_two_splits_is_told_apart(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / f"{split}.jsonl", [{"id": "a", "text": f"text of {split}"}])
    assert [document.id for document in load_corpus(str(tmp_path), DataConfig()).documents] == ["a", "a#2"]


def test_two_files_for_one_split_are_a_problem(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", list(ROWS))
    write(tmp_path / "train.jsonl.xz", list(ROWS))
    with pytest.raises(Problem, match="both the train split"):
        load_corpus(str(tmp_path), DataConfig())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "a"', "line 2: not JSON"),
        ('["a"]', "line 2: list instead of an object"),
        ('{"id": "a"}', "line 2: no string under 'text'"),
        ('{"txet": "a"}', r"line 2: no string under 'text' \(did you mean 'txet'\?\)"),
        ('{"text": 3}', "line 2: no string under 'text'"),
    ],
)
def test_a_bad_line_is_a_problem_with_its_number(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good"}\n' + line + "\n")
    with pytest.raises(Problem, match=said):
        load_corpus(str(path), DataConfig())


@pytest.mark.parametrize("line", [b'{"text": "caf\xe9"}', b'{"text": "half \\ud83d of a pair"}'])
def test_lines_that_are_not_unicode_text_are_skipped_or_a_problem(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "good"}\n\n' + line + b"\n")
    assert load_corpus(str(path), DataConfig()).skipped == {"not UTF-8": 1}
    with pytest.raises(Problem, match="line 3"):
        load_corpus(str(path), DataConfig(strict=True))


def test_an_empty_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(Problem, match="no text to read"):
        load_corpus(str(tmp_path / "a.jsonl"), DataConfig())
