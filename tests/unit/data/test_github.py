import json
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.data import DataConfig, load_corpus
from mnemon.data.github import traversed

NAMES = [f"r/{folder}{name}" for folder in ("", "a/", "a/x/", "a/y/", "b/", "c/") for name in ("1.c", "2.c", "3.c")]


def folder_of(name: str) -> str:
    return name.rpartition("/")[0]


@pytest.mark.parametrize("seed", range(5))
def test_files_of_a_folder_and_folders_of_a_folder_stay_together(seed: int) -> None:
    order = list(traversed(NAMES, seed))
    assert sorted(order) == sorted(NAMES)
    for folder in {folder_of(name) for name in NAMES}:
        for belongs in (lambda name, f=folder: folder_of(name) == f, lambda name, f=folder: name.startswith(f"{f}/")):
            places = [at for at, name in enumerate(order) if belongs(name)]
            assert places == list(range(places[0], places[0] + len(places)))


def test_the_order_is_drawn_from_the_seed_and_not_from_the_listing() -> None:
    assert list(traversed(NAMES, 1)) == list(traversed(NAMES[::-1], 1))
    assert len({tuple(traversed(NAMES, seed)) for seed in range(5)}) == 5


def test_a_repository_is_a_document_of_its_source_files(tmp_path: Path) -> None:
    files = {"one/src/a.py": "a = 1\n", "one/b.go": "package b\n", "one/README.md": "no source", "one/.git/c.py": "c"}
    files |= {"two/x.ts": "let x", "two/empty.c": "", "alone.py": "in no repository", "none/notes.txt": "text"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    corpus = load_corpus(f"github:{tmp_path}", DataConfig())
    assert {document.id: document.text for document in corpus.documents} == {
        "one": "# one/b.go\npackage b\n# one/src/a.py\na = 1\n",
        "two": "# two/x.ts\nlet x\n",
    }


def test_json_lines_have_a_repository_a_line(tmp_path: Path) -> None:
    (tmp_path / "code.jsonl").write_text(json.dumps({"id": "r", "text": "int x;"}))
    assert [d.id for d in load_corpus(f"github:{tmp_path / 'code.jsonl'}", DataConfig()).documents] == ["r"]


def test_a_single_repository_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    with pytest.raises(Problem, match="give the folder that holds the repositories"):
        load_corpus(f"github:{tmp_path}", DataConfig())
