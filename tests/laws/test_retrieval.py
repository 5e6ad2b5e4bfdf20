"""What is retrieved is what the model's own attention would have ranked first, with its own value."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kinds import REMEMBERING, SEARCHED_MODELS
from mnemon.model import ModelConfig, attention
from mnemon.ops import Neighbours, Partial
from models import awake, text

LAYER, SIZE, TOP_K = 1, 8, 3
STEPS = ([5, 5, 2], [3, 1, 3], [2, 2, 0], [1, 2, 2], [3, 3, 3], [1, 1, 1], [1, 1, 1], [3, 3, 3])


class Diary:
    """Keys and values of every row in the order of its stream, written down from the updates, and what was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
        self.keys: list[list[Tensor]] = [[] for _ in range(rows)]
        self.values: list[list[Tensor]] = [[] for _ in range(rows)]
        self.asked: list[tuple[Tensor, Partial]] = []
        plain: Callable[[Tensor, Neighbours], Partial] = attention.partial_neighbours

        def noted(q: Tensor, found: Neighbours) -> Partial:
            part = plain(q, found)
            self.asked.append((q.detach(), part))
            return part

        monkeypatch.setattr(attention, "partial_neighbours", noted)

    def note(self, k: Tensor, v: Tensor, lengths: list[int]) -> None:
        for row, length in enumerate(lengths):
            self.keys[row] += list(k[row, :, :length].unbind(1))
            self.values[row] += list(v[row, :, :length].unbind(1))

    def forget(self, row: int) -> None:
        self.keys[row], self.values[row] = [], []


def stored(told: int, size: int) -> list[int]:
    """Stream positions in the memory of a row that has read `told` tokens: the last ones of whole segments."""
    whole = told - told % 5
    return list(range(max(0, whole - size), whole))


MODELS = REMEMBERING | SEARCHED_MODELS
OWN = [name for name, config in MODELS.items() if config.pools.knn and config.pools.knn.value == "own"]


@pytest.mark.parametrize("name", OWN)
def test_neighbours_are_the_top_of_the_model_s_own_logits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config: ModelConfig = MODELS[name]
    assert config.pools.knn is not None
    joint = config.pools.knn.merge == "joint"
    model = awake(config)
    state, diary, told, checked = model.init_state(3), Diary(monkeypatch, 3), [0, 0, 0], 0
    for step, lengths in enumerate(STEPS):
        if step == 4:
            state.reset(torch.tensor([False, True, False]))
            diary.forget(1)
            told[1] = 0
        diary.asked.clear()
        output, update = model(text(3, max(lengths), seed=step), state, lengths=torch.tensor(lengths), inspect=True)
        found = output.traces[LAYER].neighbours
        for row, length in enumerate(lengths):
            held = stored(told[row], SIZE)
            if not held or found is None:
                assert found is None or not bool(found.valid[row].any())
                continue
            logits, part = diary.asked[-1]
            for t in range(length):
                beyond = [p for p in held if not joint or p < limit(config, told[row], t)]
                for h in range(found.ids.shape[1]):
                    checked += check(logits[row, h, t], part, diary, found, (row, h, t), beyond)
        fresh = update[LAYER]
        assert fresh.k is not None
        assert fresh.v is not None
        diary.note(fresh.k, fresh.v, lengths)
        told = [a + b for a, b in zip(told, lengths, strict=True)]
        state.commit(update)
    assert checked > 50


def limit(config: ModelConfig, told: int, t: int) -> int:
    """First stream position that the context still shows to token `told` + t."""
    return max(told + t - config.window, told - config.window) if config.pools.cache else told


def check(q: Tensor, part: Partial, diary: Diary, found: object, place: tuple[int, int, int], held: list[int]) -> int:
    """One query's neighbours against its logits with everything that is held."""
    row, h, t = place
    logits = {p: float(q @ diary.keys[row][p][h]) for p in held}
    best = sorted(logits, key=lambda p: logits[p], reverse=True)[:TOP_K]
    valid = found.valid[row, h, t]
    assert found.positions[row, h, t][valid].tolist() == best
    assert part.z is not None
    if not best:
        assert part.z[row, h, t] == -math.inf
        return 0
    scores = torch.tensor([logits[p] for p in best], dtype=torch.float64)
    weights = scores.softmax(0)
    torch.testing.assert_close(part.z[row, h, t], scores.logsumexp(0))
    torch.testing.assert_close(found.weights[row, h, t][valid], weights)
    expected = sum(w * diary.values[row][p][h] for w, p in zip(weights, best, strict=True))
    torch.testing.assert_close(part.o[row, h, t], expected)
    return 1
