import functools
import math

import numpy as np
import pytest
import torch

import tiny
from mnemon.config import Problem
from mnemon.data import Document
from mnemon.data.byte_tokens import Bytes
from mnemon.evaluate import Returned, by_gain, evaluate, looked_up, names, rates
from mnemon.model import Transformer

# `alphabet` returns from beyond the window of 16 in both; `near` never leaves it, `abc` is too short, 12345 no name.
FAR = (
    "alphabet = 12345\n" + "near near near near\n" * 2 + "abc alphabet 12345\n" + "near near near\n" * 2 + "alphabet\n"
)
DOCUMENTS = [Document("one", FAR), Document("two", FAR.replace("alphabet", "zenith_2"))]


def model(value: str = "own", top_k: int = 4, size: int = 96) -> Transformer:
    kept = tiny.POOLS["memorizing"]
    pools = kept.replace(knn=kept.knn.replace(value=value, top_k=top_k, size=size))
    made = tiny.model("memorizing", pools=pools).build(seed=3)
    made.blocks[1].attention.gate.data.fill_(0.5)
    return made


@functools.cache
def asked(value: str = "own") -> list[Returned]:
    return looked_up(model(value), DOCUMENTS, Bytes())


def test_names_that_return_from_beyond_the_window_are_asked_for_in_three_views() -> None:
    found = asked()
    assert {each.name for each in found if each.document == "one"} == {"alphabet", "near"}
    assert {each.name for each in found if each.document == "two"} == {"zenith_2", "near"}
    for document, name in (("one", "alphabet"), ("two", "zenith_2")):
        places = [each.first for each in names(FAR.replace("alphabet", name), Bytes().spans(FAR)) if each.text == name]
        mine = [each for each in found if (each.document, each.name) == (document, name)]
        assert [each.token for each in mine if each.view == "first token"] == places[1:]
        for view in ("name", "token"):
            for each, place in zip([each for each in mine if each.view == view], places[1:], strict=True):
                assert place <= each.token < place + len(name)


def test_gains_are_those_of_an_evaluation() -> None:
    made, found = model(), asked()
    results = evaluate(made, DOCUMENTS, Bytes(), (0, 96)).memory
    for k, document in enumerate(DOCUMENTS):
        gain = results[0].documents[k].nats - results[96].documents[k].nats
        for each in found:
            if each.document == document.id:
                start = document.text.rindex(each.name, 0, each.token + len(each.name))
                pieces = gain[start : start + len(each.name)]
                wanted = float(pieces.sum()) if each.view == "name" else gain[each.token]
                assert each.gain == pytest.approx(wanted, abs=1e-4)
                assert each.token == start + (0 if each.view == "first token" else int(np.argmax(pieces)))


@pytest.mark.parametrize("value", ["own", "next"])
def test_a_random_draw_is_counted_exactly(value: str) -> None:
    """Of the entries stored then, those that are the name, and with their own values those right before it too."""
    for each in asked(value):
        if each.name == "near":
            continue
        text = DOCUMENTS[0].text.replace("alphabet", each.name)
        start = text.rindex(each.name, 0, each.token + len(each.name))
        stored = max(0, each.token // 16 * 16 - 96), each.token // 16 * 16
        back = 1 if value == "own" else 0
        hits = {
            token
            for place in range(start)
            if text.startswith(each.name, place)
            for token in range(place - back, place + len(each.name))
            if stored[0] - 1 <= token < stored[1] - 1
        }
        n = stored[1] - stored[0]
        assert each.random == pytest.approx(1 - math.comb(n - len(hits), 4) / math.comb(n, 4))


def test_who_looks_at_everything_finds_every_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many entries looked at as there are, both the model and a draw find each name."""
    monkeypatch.setattr("mnemon.evaluate.retrieval.TOP", 96)
    found = looked_up(model(top_k=96), DOCUMENTS, Bytes())
    assert found
    assert all(each.found for each in found)
    assert {each.random for each in found} == {1.0}


def test_a_memory_that_no_longer_holds_the_name_is_not_asked() -> None:
    near = looked_up(model(size=16), DOCUMENTS, Bytes(), memory=16)
    assert {each.name for each in near} <= {"near"}


def one(document: str, name: str, gain: float, found: bool = False, random: float = 0.1) -> Returned:
    return Returned(document, name, 7, "name", float(gain), found, random)


def test_groups_hold_each_name_of_a_document_once_and_none_is_in_both() -> None:
    made = [
        one("a", "x", 3),
        one("a", "x", 9),
        one("b", "x", 8),
        one("a", "y", 1),
        one("a", "z", -1),
        one("a", "x", -5),
    ]
    groups = by_gain(made, 2)
    assert [each.gain for each in groups["high"]] == [9, 8]
    assert [each.gain for each in groups["low"]] == [-1, 1]
    assert groups["every"] == made
    assert [each.gain for each in by_gain(made[:3], 9)["high"]] == [9], "half each where there are few"


def test_rates_compare_with_the_draw_over_documents() -> None:
    made = [one("a", "x", math.log(2), True, 0.2), one("a", "y", 0.0, True, 0.2), one("b", "x", 0.0, False, 0.1)]
    found = rates(made)
    assert (found["names"], found["documents"], found["found"]) == (3, 2, 2)
    assert found["rate"] == pytest.approx(2 / 3)
    assert found["random"] == pytest.approx(0.5 / 3)
    assert found["times_random"] == pytest.approx(4)
    assert found["bits_gained"] == pytest.approx(1 / 3)
    assert found["interval"] == pytest.approx([0, 1])
    assert found["times_interval"] == pytest.approx([0, 5])
    with pytest.raises(Problem, match="no name of four characters returns"):
        rates([])


@pytest.mark.parametrize(("kind", "memory"), [("transformer-xl", None), ("memorizing", 0)])
def test_a_model_that_remembers_nothing_is_a_problem(kind: str, memory: int | None) -> None:
    with pytest.raises(Problem, match="has no kNN memory, or is asked to read without one"):
        looked_up(tiny.model(kind).build(), DOCUMENTS, Bytes(), memory)


def test_the_model_is_left_as_it_was_and_progress_is_told() -> None:
    made = model()
    made.train()
    random = torch.get_rng_state()
    seen: list[tuple[str, int, int]] = []
    assert looked_up(made, DOCUMENTS, Bytes(), on_progress=lambda *said: seen.append(said)) == asked()
    assert {(done, total) for what, done, total in seen if what == "looking up names"} >= {(2 * len(FAR), 2 * len(FAR))}
    assert made.training
    assert torch.equal(torch.get_rng_state(), random)
