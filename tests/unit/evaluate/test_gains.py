import numpy as np
import pytest

from mnemon.evaluate.gains import TIMES, gains, rarity
from mnemon.evaluate.identifiers import names

NATS = {"memory": np.array([np.nan, 1, 2, 3, 1]), "none": np.array([np.nan, 9, 2, 5, 3]), "other": np.full(5, 4.0)}


def test_gains_are_means_over_the_tokens_of_a_group_from_the_first_that_counts() -> None:
    group = np.array([0, 0, 1, 1, 0])
    short, long, nobody = ({"label": label} for label in "abc")
    found = gains("abc", group, NATS, first=2)
    assert [each["label"] for each in found] == [short["label"], long["label"]]
    assert nobody["label"] not in [each["label"] for each in found]
    assert found[0] == {"label": "a", "tokens": 1, "nats_per_token": 1, "gain": {"none": 2, "other": 3}, "share": 0.5}
    assert found[1]["tokens"] == 2
    assert found[1]["gain"] == {"none": 1.0, "other": pytest.approx(1.5)}
    assert gains("a", np.zeros(5, np.int64), NATS, first=1)[0]["tokens"] == 4


def test_without_any_gain_nobody_has_a_share_of_it() -> None:
    same = {"memory": np.ones(2), "none": np.ones(2)}
    assert gains("a", np.zeros(2, np.int64), same, first=0)[0]["share"] is None


def test_rarity_counts_occurrences_before() -> None:
    text = " ".join(["ab"] * 18) + " ! cd"
    edges = np.array([[3 * i, 3 * i + 2] for i in range(18)] + [[54, 55], [56, 58]])
    found = rarity(names(text, edges), 20)
    assert [TIMES[i] for i in found[[0, 1, 2, 3, 4, 7, 8, 15, 16, 17]]] == [
        *("never before", "once before", "2-3 times", "2-3 times", "4-7 times", "4-7 times"),
        *("8-15 times", "8-15 times", "16 times or more", "16 times or more"),
    ]
    assert found[18] == -1
    assert TIMES[found[19]] == "never before"
    assert rarity([], 2).tolist() == [-1, -1]
