from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.data import DataConfig, load_corpus

FILES = {
    "Entry/ROOT": "session Entry = HOL",
    "Entry/A.thy": "theory A imports Entry.B begin end",
    "Entry/B.thy": "theory B imports Main begin end",
    "Other/X.thy": "theory X imports Entry.A begin end",
    "Round/P.thy": "theory P imports Q begin end",
    "Round/Q.thy": "theory Q imports P begin end",
}


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_session_is_a_document_in_the_order_of_imports(sessions: Path) -> None:
    corpus = load_corpus(f"isabelle:{sessions}", DataConfig())
    texts = {document.id: document.text for document in corpus.documents}
    assert texts["Entry"] == f"# Entry/B.thy\n{FILES['Entry/B.thy']}\n# Entry/A.thy\n{FILES['Entry/A.thy']}\n"
    assert texts["Other"] == f"# Other/X.thy\n{FILES['Other/X.thy']}\n"
    assert (len(texts), corpus.skipped) == (2, {"session with circular imports": 1})


def test_a_circle_is_a_problem_when_strict(sessions: Path) -> None:
    with pytest.raises(
        Problem, match=r"session Round: imports go in a circle: Round/P\.thy -> Round/Q\.thy -> Round/P\.thy"
    ):
        load_corpus(f"isabelle:{sessions}", DataConfig(strict=True))


def test_a_missing_import_is_counted_or_a_problem(sessions: Path) -> None:
    (sessions / "Round" / "Q.thy").write_text("theory Q imports Lost begin end")
    corpus = load_corpus(f"isabelle:{sessions}", DataConfig())
    assert (len(corpus.documents), corpus.skipped) == (3, {"import not found": 1})
    with pytest.raises(Problem, match=r"session Round: Round/Q\.thy imports Lost, which is not there"):
        load_corpus(f"isabelle:{sessions}", DataConfig(strict=True))


def test_sessions_are_the_folders_that_root_files_name(tmp_path: Path) -> None:
    files = {
        "ROOT": 'session HOL = Pure + theories Main session "HOL-Library" in Library = HOL + theories B',
        "Main.thy": "theory Main imports HOL.Nat begin end",
        "Nat.thy": "theory Nat imports Pure begin end",
        "Tools/T.thy": "theory T imports Main begin end",
        "Library/A.thy": 'theory A imports "HOL-Library.B" begin end',
        "Library/sub/B.thy": "theory B imports Main begin end",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    corpus = load_corpus(f"isabelle:{tmp_path}", DataConfig())
    orders = {document.id: [path for _, path in document.files] for document in corpus.documents}
    assert orders == {
        "HOL": ["Nat.thy", "Main.thy", "Tools/T.thy"],
        "HOL-Library": ["Library/sub/B.thy", "Library/A.thy"],
    }


def test_a_folder_of_theories_is_one_session(sessions: Path) -> None:
    (document,) = load_corpus(f"isabelle:{sessions / 'Entry'}", DataConfig()).documents
    assert document.id == "Entry"
    assert document.text.startswith("# B.thy\n")


def test_a_folder_without_theories_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(Problem, match=r"no theory \(\.thy\) there"):
        load_corpus(f"isabelle:{tmp_path}", DataConfig())
