import numpy as np
import pytest

from mnemon.evaluate import TASKS, Haystack, Writer
from mnemon.evaluate.inventions import held_out
from mnemon.evaluate.recall_tasks import mixed
from mnemon.studies.recall_lessons import IGNORED, lesson

HAYSTACK = Haystack(["a line of hay\n" * 50], len)


def encode(text: str) -> list[int]:
    return list(text.encode())


def text(ids: object) -> str:
    return bytes(np.asarray(ids).tolist()).decode()


@pytest.mark.parametrize("task", [mixed, *TASKS.values()])
def test_each_row_asks_for_what_its_set_tells(task: object) -> None:
    given = lesson(task, Writer(np.random.default_rng(0), HAYSTACK, 3000, 120, evaluation=False), encode, 3, 5)
    assert given.rows.tolist() == sorted(given.rows.tolist())
    for row, at in enumerate(given.rows.tolist()):
        told = "".join(text(document) for document in given.sets[at])
        answered = given.answers[row] != IGNORED
        answer = text(given.answers[row][answered])
        first = int(answered.int().argmax())
        prompt = text(given.ids[row, : first + 1]).rpartition("\n")[2]
        assert f"{prompt}{answer}\n" in told
        assert text(given.ids[row, first + 1 : first + len(answer)]) == answer[:-1]
        assert (given.others[row] != IGNORED).sum() == first
        assert not (answered & (given.others[row] != IGNORED)).any()


def test_no_key_of_a_lesson_is_one_of_evaluation() -> None:
    given = lesson(mixed, Writer(np.random.default_rng(0), HAYSTACK, 6000, 120, evaluation=False), encode, 2, 99)
    words = " ".join(text(document) for documents in given.sets for document in documents)
    named = [
        line.split(" of ")[1].split()[0] for line in words.splitlines() if line.startswith("The ") and " of " in line
    ]
    assert len(named) > 20
    assert not any(map(held_out, named))
