"""How much an attached model recalls of what it has read, far beyond its window: tasks played out and scored."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mnemon.config import Problem, nearest
from mnemon.evaluate import RULER, TASKS, Episode, Haystack, Question, Writer, wilson
from mnemon.hosts import Cited, Memory
from mnemon.studies.machine import machine
from mnemon.studies.workers import Progress

BATCH = 20  # episodes whose memories are held at once
ROOM = 4  # tokens that a model may write beyond an answer
Asked = Sequence[tuple[int, Question]]


@dataclass(frozen=True)
class Played:
    """One question of an episode: its score, and the share of the answer's tokens whose heaviest citation was right."""

    score: float
    cited: float | None


def named_tasks(names: str) -> list[str]:
    """Tasks by names with commas between; `recall` are ours, `ruler` are RULER's, `all` are both."""
    groups = {"recall": list(TASKS), "ruler": list(RULER), "all": [*TASKS, *RULER]}
    found = [task for name in names.split(",") for task in groups.get(name, [name])]
    for name in found:
        if name not in TASKS | RULER:
            raise Problem(f"task {name!r}: no such task{nearest(name, [*groups, *TASKS, *RULER])}")
    return list(dict.fromkeys(found))


def eval_tasks(
    memory: Memory,
    texts: Sequence[str],
    tasks: Sequence[str],
    tokens: int,
    window: int,
    count: int,
    seed: int,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Each task `count` times with documents of `tokens` tokens, hidden in lines of `texts`; a model sees `window`
    tokens without a memory.

    `accuracy` is the mean score of an episode, whose score is that of its worst question, with its 95 % interval;
    `cited` the share of answer tokens whose heaviest citation stands where the answer does. Controls, over questions
    that have an answer: `without` with an empty memory, `other` with the memory of another episode.
    """
    if count < 2:
        raise Problem(f"count {count}: at least 2 episodes, so that one can be asked with the memory of another")
    if memory.tokenizer is None:
        raise Problem("recall tasks are texts: attach the model with its tokenizer")
    tokenizer = memory.tokenizer
    haystack = Haystack(texts, lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]))
    found: dict[str, Any] = {}
    for at, task in enumerate(tasks):
        played: dict[str, list[list[Played]]] = {"own": [], "other": [], "without": []}
        for first in range(0, count, BATCH):
            progress("asking", at * count + first, len(tasks) * count, task)
            episodes = [
                (TASKS | RULER)[task](Writer(_draws(task, seed, number), haystack, tokens, window))
                for number in range(first, min(first + BATCH, count))
            ]
            for control, outcome in played_out(memory, episodes).items():
                played[control] += outcome
        found[task] = _figures(played)
    return {"tokens": tokens, "window": window, "count": count, "seed": seed, "tasks": found, "environment": machine()}


def _draws(task: str, seed: int, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, number, *task.encode()])


def _figures(played: Mapping[str, Sequence[Sequence[Played]]]) -> dict[str, Any]:
    scores = [min(each.score for each in episode) for episode in played["own"]]
    cited = [each.cited for episode in played["own"] for each in episode if each.cited is not None]
    return {
        "accuracy": float(np.mean(scores)),
        "interval": wilson(float(np.sum(scores)), len(scores)),
        "cited": float(np.mean(cited)) if cited else None,
        **{name: float(np.mean([each.score for ep in played[name] for each in ep])) for name in ("without", "other")},
    }


def played_out(memory: Memory, episodes: Sequence[Episode]) -> dict[str, list[list[Played]]]:
    """Every episode with its own memory, with another's, and without; what the memory had read before is kept apart."""
    with _told(memory, episodes):
        answered = [[each for each in episode.questions if each.answers] for episode in episodes]
        n = len(episodes)
        return {
            "without": _asked(memory, answered, [f"nothing {at}" for at in range(n)], control=True),
            "other": _asked(memory, answered, [_place((at + 1) % n) for at in range(n)], control=True),
            "own": _asked(memory, [each.questions for each in episodes], [_place(at) for at in range(n)]),
        }


def _place(at: int) -> str:
    return f"episode {at}"


@contextmanager
def _told(memory: Memory, episodes: Sequence[Episode]) -> Iterator[None]:
    """The documents of all episodes, in namespaces of their own, while it lasts."""
    try:
        for at, episode in enumerate(episodes):
            for told in episode.told:
                memory.read(text=told.text, document=told.name, namespace=f"{_place(at)} {told.namespace}")
        yield
    finally:
        for document in memory.documents:
            if document.namespace.startswith("episode "):
                memory.forget(document.name, document.namespace)


def _asked(
    memory: Memory, questions: Sequence[Sequence[Question]], places: Sequence[str], control: bool = False
) -> list[list[Played]]:
    """The questions of all episodes, side by side: first the first of each, then the second."""
    found: list[list[Played]] = [[] for _ in questions]
    for turn in range(max(map(len, questions))):
        rows = [(at, each[turn]) for at, each in enumerate(questions) if turn < len(each)]
        for at, question in rows:
            for document in () if control else question.forget:
                memory.forget(document, f"{places[at]} {question.namespace}")
        with memory.using([f"{places[at]} {question.namespace}" for at, question in rows]):
            answers = _answers(memory, [question for _, question in rows], cite=not control)
        for (at, question), (text, cited) in zip(rows, answers, strict=True):
            share = None if cited is None else proved(question, cited)
            right = 0.0 if question.cited and not control and share != 1 else question.score(text)
            found[at].append(Played(right, share))
    return found


def _answers(memory: Memory, questions: Sequence[Question], cite: bool) -> list[tuple[str, Sequence[Cited] | None]]:
    """What the model writes behind each prompt, greedily, and what it cites for that."""
    tokenizer: Any = memory.tokenizer
    model: Any = memory.model
    prompts = tokenizer([question.prompt for question in questions], padding=True, return_tensors="pt")
    prompts = {name: prompts[name].to(model.device) for name in ("input_ids", "attention_mask")}
    most = max(len(tokenizer(" ".join([*each.answers, *each.never]))["input_ids"]) for each in questions) + ROOM
    model.eval()
    with torch.no_grad():
        out = model.generate(**prompts, max_new_tokens=most, do_sample=False)
    texts = tokenizer.batch_decode(out[:, prompts["input_ids"].shape[1] :])
    if not cite or not any(question.evidence for question in questions):
        return [(text, None) for text in texts]
    return list(zip(texts, memory.citations(out, top=1), strict=True))


def proved(question: Question, cited: Sequence[Cited]) -> float | None:
    """Of the tokens that make up an answer, the share whose heaviest citation lies in its evidence."""
    if not question.evidence:
        return None
    right, length, written = [], len(question.answers[0]), 0
    for each in cited:
        if written >= length:
            break
        written += len(each.text)
        best = each.citations[:1]
        right += [bool(best) and question.proves(best[0].document, best[0].start, best[0].end)]
    return float(np.mean(right)) if right else 0.0
