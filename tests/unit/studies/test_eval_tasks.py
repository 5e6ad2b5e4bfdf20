from pathlib import Path

import pytest
import torch

import mnemon
from mnemon.config import Problem
from mnemon.evaluate import RULER, TASKS, Episode, Evidence, Question, Told
from mnemon.hosts import Citation, Cited
from mnemon.hosts.small import SmallConfig, small_decoder, small_tokenizer
from mnemon.studies.eval_tasks import eval_tasks, named_tasks, played_out, proved

TEXT = "".join(f"line {n} of the text that things are hidden in\n" for n in range(40))


@pytest.fixture(scope="module")
def memory() -> mnemon.Memory:
    """A host that has learnt nothing."""
    config = SmallConfig(vocab_size=290, dim=12, n_layers=2, n_heads=3, head_dim=4, window=32)
    model = small_decoder(config, torch.Generator().manual_seed(0))
    return mnemon.attach(model, small_tokenizer([TEXT], 290), layers=(1,), merge="gated", segment=32, overlap=8)


def test_tasks_are_played_and_leave_nothing_behind(memory: mnemon.Memory) -> None:
    memory.read(text="kept", document="mine", namespace="own")
    found = eval_tasks(memory, [TEXT], named_tasks("forget,facts,fwe"), 150, 32, 2, 0)
    assert list(found["tasks"]) == ["forget", "facts", "fwe"]
    for task in ("forget", "facts"):
        assert found["tasks"][task]["accuracy"] == 0
    assert found["tasks"]["fwe"]["cited"] is None
    assert [document.name for document in memory.documents] == ["mine"]
    memory.forget("mine", "own")


def test_figures_are_those_of_the_seed(memory: mnemon.Memory) -> None:
    one, two = (eval_tasks(memory, [TEXT], ["forget"], 150, 32, 2, 1)["tasks"] for _ in range(2))
    assert one == two


def test_a_forgotten_document_and_other_rows_say_nothing(memory: mnemon.Memory) -> None:
    """The model writes whatever it reads: so each question shows by what is cited which memory was there."""
    place = (Evidence("a", 0, 99),)
    told = Told("a", TEXT[:200]), Told("b", TEXT[:200], "other")
    questions = [
        Question("\nx", ("?",), evidence=place),
        Question("\nx", ("?",), "other", evidence=(Evidence("b", 0, 200),)),
        Question("\nx", ("?",), forget=("a",), evidence=place),
    ]
    played = played_out(memory, [Episode(told, tuple(questions))] * 2)["own"]
    assert [[each.cited is not None for each in episode] for episode in played] == [[True] * 3] * 2
    assert played[0][1].cited == 1
    assert played[0][2].cited == 0


def _cited(text: str, document: str, start: int) -> Cited:
    return Cited(0, text, (Citation(document, "", "text", start, start + 2, "ab", 1, 0, 0.9),))


def test_every_token_of_an_answer_must_be_cited_from_its_evidence() -> None:
    question = Question("p", (" 42.",), evidence=(Evidence("a", 10, 20),))
    right = [_cited(" ", "a", 10), _cited("42", "a", 14), _cited(".", "a", 18)]
    assert proved(question, [*right, _cited("more", "b", 0)]) == 1
    assert proved(question, [*right[:2], _cited(".", "a", 19)]) == pytest.approx(2 / 3)
    assert proved(question, [*right[:2], Cited(0, ".", ())]) == pytest.approx(2 / 3)
    assert proved(question, []) == 0
    assert proved(Question("p", (), never=("x",)), right) is None


def test_tasks_are_named_singly_or_as_groups() -> None:
    assert named_tasks("ruler,vt,needle") == [*RULER, "needle"]
    assert named_tasks("recall") == list(TASKS)
    with pytest.raises(Problem, match="'needle'"):
        named_tasks("needles")


def test_what_cannot_be_asked_is_told(memory: mnemon.Memory, tmp_path: Path) -> None:
    with pytest.raises(Problem, match="at least 2"):
        eval_tasks(memory, [TEXT], ["passkey"], 150, 32, 1, 0)
    with pytest.raises(Problem, match="no text"):
        eval_tasks(memory, [""], ["passkey"], 150, 32, 2, 0)
