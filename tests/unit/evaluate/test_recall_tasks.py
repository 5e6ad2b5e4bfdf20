import numpy as np
import pytest

from mnemon.evaluate.episode import Episode, Evidence, Question, Writer
from mnemon.evaluate.haystack import Haystack
from mnemon.evaluate.recall_tasks import NEEDLES, TASKS
from mnemon.evaluate.ruler import RULER

HAYSTACK = Haystack(["".join(f"an ordinary line with the number {n}\n" for n in range(3000))], len)
TOKENS, WINDOW = 6000, 400


def episode(task: str, seed: int = 0, evaluation: bool = True, tokens: int = TOKENS) -> Episode:
    return (TASKS | RULER)[task](Writer(np.random.default_rng(seed), HAYSTACK, tokens, WINDOW, evaluation))


def text_of(told: Episode, evidence: Evidence) -> str:
    (text,) = (each.text for each in told.told if each.name == evidence.document)
    return text[evidence.first : evidence.last]


@pytest.mark.parametrize("task", TASKS | RULER)
@pytest.mark.parametrize("seed", range(3))
def test_an_answer_stands_where_the_evidence_says(task: str, seed: int) -> None:
    made = episode(task, seed)
    asked = [question for question in made.questions if question.evidence]
    assert asked or task in ("cwe", "fwe")
    for question in asked:
        shown = " ".join(text_of(made, each) for each in question.evidence)
        assert all(answer.strip() in shown for answer in question.answers)
        assert task in RULER or shown == question.prompt.strip() + question.answers[0]


@pytest.mark.parametrize("task", TASKS)
def test_an_episode_is_as_long_as_asked_for_in_each_namespace(task: str) -> None:
    made = episode(task)
    for namespace in {told.namespace for told in made.told}:
        texts = [told.text for told in made.told if told.namespace == namespace]
        assert sum(map(HAYSTACK.count, texts)) == pytest.approx(TOKENS, rel=0.05)


@pytest.mark.parametrize("task", RULER)
@pytest.mark.parametrize("tokens", [3000, 24_000])
def test_a_task_of_ruler_is_about_as_long_as_asked_for(task: str, tokens: int) -> None:
    made = episode(task, tokens=tokens)
    assert HAYSTACK.count(made.told[0].text) == pytest.approx(tokens, rel=0.35)


@pytest.mark.parametrize("task", TASKS | RULER)
def test_the_same_generator_makes_the_same_episode(task: str) -> None:
    assert episode(task, 3) == episode(task, 3) != episode(task, 4)


@pytest.mark.parametrize("task", TASKS | RULER)
def test_the_right_answer_scores_and_another_does_not(task: str) -> None:
    for question in episode(task).questions:
        right = " and ".join(question.answers)
        assert question.score(right) == 1
        if question.answers:
            assert question.score(" 99999.") == 0
        for secret in question.never:
            assert question.score(f"{right} {secret}") == 0


def test_depths_are_spread_over_the_whole_document() -> None:
    depths = []
    for seed in range(60):
        made = episode("passkey", seed)
        depths.append(made.questions[0].evidence[0].first / len(made.told[0].text))
    assert min(depths) < 0.1
    assert max(depths) > 0.9
    assert 0.4 < float(np.mean(depths)) < 0.6


@pytest.mark.parametrize("seed", range(20))
def test_a_window_lies_between_a_value_and_the_one_that_replaces_it(seed: int) -> None:
    made = episode("overwrite", seed)
    first, last = (told.text for told in made.told)
    name = made.questions[0].prompt.strip()
    old, new = (text.split(f"{name} ")[1][:6] for text in (first, last))
    assert old != new == made.questions[0].answers[0].strip()
    between = first.split(f"{name} ")[1] + last.split(f"{name} ")[0]
    assert HAYSTACK.count(between) >= WINDOW - 40


def test_what_is_forgotten_is_asked_for_before_and_after() -> None:
    before, after = episode("forget").questions
    assert before.prompt == after.prompt
    assert before.answers == (f" {after.never[0]}.",)
    assert after.forget == ("secret",)
    assert after.score("nothing") == 1
    assert after.score(f" {after.never[0]}.") == 0


def test_rows_know_different_values_of_one_name() -> None:
    first, second, third = episode("isolation").questions
    assert first.prompt == second.prompt == third.prompt
    assert {each.namespace for each in (first, second, third)} == {"first", "second", "third"}
    assert first.score(first.answers[0] + second.answers[0]) == 0
    assert third.answers == ()
    assert third.score(second.answers[0]) == 0


@pytest.mark.parametrize("task", ["needle", "facts"])
def test_the_others_are_spread_over_documents(task: str) -> None:
    made = episode(task)
    start = made.questions[0].prompt.rsplit(" ", 2)[0]
    counts = [told.text.count(start) for told in made.told]
    assert sum(counts) == NEEDLES
    assert max(counts) < NEEDLES


def test_a_citation_lies_within_the_evidence() -> None:
    question = Question("p", ("a",), evidence=(Evidence("one", 3, 9),))
    assert question.proves("one", 3, 9)
    assert not question.proves("two", 3, 9)
    assert not question.proves("one", 2, 5)
    assert not question.proves("one", 4, 10)
    assert not question.proves("one", 5, 5)


def test_a_share_of_the_answers_is_a_share_of_the_score() -> None:
    assert Question("p", ("one", "two"), exact=False).score("two of them") == 0.5


def test_values_are_handed_on_in_their_order() -> None:
    made = episode("vt")
    lines = [line for line in made.told[0].text.splitlines() if line.startswith("VAR")]
    assert len(lines) == len(made.questions[0].answers) == 5
    held = lines[0].split()[1]
    for line in lines[1:]:
        assert line.endswith(f"= VAR {held}")
        held = line.split()[1]


@pytest.mark.parametrize(("task", "asked"), [("cwe", 10), ("fwe", 3)])
def test_the_words_asked_for_are_the_most_frequent(task: str, asked: int) -> None:
    made = episode(task)
    words = [word for word in made.told[0].text.split() if word != "..."]
    counts = {word: words.count(word) for word in set(words)}
    best = sorted(counts, key=lambda word: -counts[word])[:asked]
    assert set(best) == set(made.questions[0].answers)
    assert counts[best[-1]] > sorted(counts.values())[-asked - 1]
