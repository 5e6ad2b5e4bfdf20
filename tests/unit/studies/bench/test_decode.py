import pytest
import torch

from mnemon.config import Problem
from mnemon.studies.bench.decode import FULL, NONE, Plan, bench_decode, decode_chart, decode_lines
from mnemon.studies.bench.standing import full_state, keys_alike, remembering_model

SMALL = Plan("memorizing-tiny", (40, 80), ("exact", "bucketed:buckets=32"), steps=1, rounds=1)


def test_a_memory_stands_beside_none_and_full_attention() -> None:
    found = bench_decode(SMALL)
    assert [of["size"] for of in found["rows"]] == [40, 80]
    for of in found["rows"]:
        assert list(of["seconds"]) == [NONE, *SMALL.indexes, FULL]
        assert set(of["ratios"]) == {*SMALL.indexes, *(f"{index}, none" for index in SMALL.indexes)}
        assert of["recall"]["exact"] == 1.0
        assert 0 < of["floor"][NONE] < of["floor"]["exact"] < of["floor"][FULL]
        assert 0.3 < of["recall"]["bucketed:buckets=32"] < 1
    assert decode_lines(found)[2].startswith("| 40 | exact | ")
    assert sum(line.startswith("| 80 | full attention | ") for line in decode_lines(found)) == 1
    assert set(decode_chart(found).values["exact"]) == {40, 80}


def test_the_memory_is_full_and_keys_stand_in_crowds() -> None:
    model = remembering_model("memorizing-tiny")
    state = full_state(model, 40)
    assert [each.store.written.tolist() for each in (layer.get("knn") for layer in state.states) if each] == [[168]]
    keys = keys_alike(1, 1, 4096, 64, torch.Generator().manual_seed(0))[0, 0]
    near = (keys @ keys.T).fill_diagonal_(-1).amax(1)
    assert 0.4 < near.median() < 0.9


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(recipe="vanilla-tiny"), "vanilla-tiny: has no kNN memory to measure"),
        (Plan(recipe="memorizing-tiny", sizes=(8,)), "a memory of 8 entries is smaller than top_k = 32"),
        (Plan(recipe="memorizing-tiny", rounds=0), "0 rounds of 4 steps: at least one of each, one size and one index"),
    ],
)
def test_what_does_not_fit_is_said(plan: Plan, message: str) -> None:
    with pytest.raises(Problem, match=message):
        bench_decode(plan)
