"""What a model is taught recall with: documents to be read, and questions with their answers, as tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from mnemon.evaluate import Episode, Writer

IGNORED = -100
Encode = Callable[[str], Sequence[int]]


@dataclass(frozen=True)
class Lesson:
    """Sets of documents, and questions about them.

    Row r of `ids` is text that ends in a question about set `rows[r]` and its answer but for the last token; `answers`
    holds the next token where it belongs to an answer, `others` where it does not. Padding is at the end.
    """

    sets: list[list[Tensor]]
    rows: Tensor
    ids: Tensor
    answers: Tensor
    others: Tensor


def lesson(task: Callable[[Writer], Episode], write: Writer, encode: Encode, sets: int, questions: int) -> Lesson:
    """A lesson of so many sets of documents, an episode each, and at most so many of its questions, at random.

    A question follows as much real text as fits, or less, or none, in half of the window at most.
    """
    documents, lines, rows = [], [], []
    for at in range(sets):
        episode = task(write)
        documents.append([torch.tensor(list(encode(told.text))) for told in episode.told])
        answered = [question for question in episode.questions if question.answers]
        for chosen in write.rng.permutation(len(answered))[:questions].tolist():
            asked, answer = (list(encode(text)) for text in (answered[chosen].prompt, answered[chosen].answers[0]))
            room = max(1, write.window // 2 + 8 - len(asked + answer))
            lines.append((_before(write, encode, write.choose(room)) + asked, answer))
            rows.append(at)
    longest = max(len(asked) + len(answer) for asked, answer in lines) - 1
    ids, answers, others = (np.full((len(lines), longest), fill, np.int64) for fill in (0, IGNORED, IGNORED))
    for row, (asked, answer) in enumerate(lines):
        n = len(asked) - 1
        ids[row, : n + len(answer)] = (asked + answer)[:-1]
        others[row, :n] = asked[1:]
        answers[row, n : n + len(answer)] = answer
    return Lesson(documents, torch.tensor(rows), *(_tensor(each) for each in (ids, answers, others)))


def _before(write: Writer, encode: Encode, n: int) -> list[int]:
    """The last `n` tokens of some real text."""
    if not n:
        return []
    return list(encode("".join(piece.text for piece in write.haystack.draw(write.rng, n))))[-n:]


def _tensor(x: Int64[np.ndarray, "b t"]) -> Tensor:
    return torch.from_numpy(x)
