import json
import math
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from mnemon.config import Problem
from mnemon.data import DataConfig, Document, Tokenizer, make_tokenizer
from mnemon.data.byte_tokens import Bytes
from mnemon.evaluate import KINDS, Inspection, evaluate, inspect
from mnemon.model import Transformer

DOCUMENT, OTHER = (Document(name, (tiny.text(k, 3) * 2)[:n]) for k, (name, n) in enumerate([("a", 130), ("b", 97)]))
SYMBOLS = make_tokenizer(DataConfig(tokenizer="symbols"), [DOCUMENT, OTHER])


def model(kind: str = "memorizing") -> Transformer:
    made = tiny.model(kind).build(seed=3)
    for block in made.blocks:
        if block.attention.gate is not None:
            block.attention.gate.data.fill_(0.5)
    return made


def inspected(kind: str = "memorizing", tokenizer: Tokenizer | None = None, **options: Any) -> Inspection:
    return inspect(model(kind), DOCUMENT, tokenizer or Bytes(), OTHER, **options)


@pytest.mark.parametrize("tokenizer", [Bytes(), SYMBOLS], ids=["start", "no start"])
def test_losses_are_those_of_an_evaluation(tokenizer: Tokenizer) -> None:
    made, found = model(), inspected(tokenizer=tokenizer, memory=48)
    assert list(found.nats) == ["memory", "none", "shuffled", "other"]
    for name, size, source in (("memory", 48, "own"), ("none", 0, "own"), ("shuffled", 48, "shuffled")):
        scored = evaluate(made, [DOCUMENT], tokenizer, (size,), memory_source=source).memory[size].documents[0]  # type: ignore[arg-type]
        assert np.array_equal(found.nats[name][scored.positions], scored.nats), name
    both = evaluate(made, [DOCUMENT, OTHER], tokenizer, (48,), memory_source="other").memory[48].documents[0]
    assert np.allclose(found.nats["other"][both.positions], both.nats, atol=1e-4)
    assert np.isnan(found.nats["memory"]).sum() == (tokenizer.start is None)


def test_controls_differ_once_there_is_a_memory() -> None:
    found = inspected(memory=48)
    for name in ("none", "shuffled"):
        assert np.allclose(found.gain(name)[:16], 0, atol=1e-5)
        assert not np.allclose(found.gain(name)[16:], 0, atol=1e-3)
    assert not np.allclose(found.gain("other")[:16], 0, atol=1e-3), "the other document's memory is full at once"


def test_every_head_is_told() -> None:
    found = inspected(memory=48)
    assert [(head.layer, head.head) for head in found.heads] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for head in found.heads:
        assert 1 <= head.reach <= 16
        assert 0 < head.entropy <= math.log(16)
        assert head.span is None
        assert (head.gate is None) == (head.memory_entropy is None) == (head.ages is None) == (head.layer == 0)
        if head.ages is not None:
            assert sum(head.ages) == pytest.approx(1)
            assert 0 < head.memory_entropy <= math.log(4) + 1e-6
            assert head.gate == pytest.approx(1 / (1 + math.exp(-0.5)))


def test_a_learned_span_is_told_in_tokens() -> None:
    made = model("all-attention")
    made.blocks[1].attention.span.ratio.data.copy_(torch.tensor([0.25, 1.0]))
    found = inspect(made, DOCUMENT, Bytes())
    assert [head.span for head in found.heads] == [0.0, 0.0, 8.0, 32.0]
    assert list(found.nats) == ["none"]
    assert found.other is None
    assert not any(found.found)


@pytest.mark.parametrize("kind", ["memorizing", "transformer-xl"])
def test_as_json_has_a_column_entry_for_each_token(kind: str) -> None:
    found = inspected(kind)
    values = found.as_json()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    tokens = values["tokens"]
    assert values["text"] == DOCUMENT.text
    columns = [tokens[name] for name in ("start", "end", "file", "line", "kind", "found")]
    assert {len(column) for column in [*columns, *tokens["nats"].values()]} == {len(DOCUMENT.text.encode())}
    assert max(tokens["line"]) == DOCUMENT.text.count("\n") + 1
    assert set(values["gains"]) == ({"all", "by_kind", "by_rarity"} if kind == "memorizing" else set())
    for token, entries in enumerate(tokens["found"]):
        weights = [weight for _, _, weight, _ in entries]
        assert weights == sorted(weights, reverse=True)
        assert all(0 <= other < token and values["heads"][head]["gate"] for other, head, _, _ in entries)


def test_gains_are_counted_from_where_the_memory_begins() -> None:
    found = inspected(memory=48)
    (everything,) = found.as_json()["gains"]["all"]
    assert everything["tokens"] == len(found.spans) - 16
    assert everything["gain"]["none"] == pytest.approx(float(found.gain()[16:].mean()))
    by_kind = found.as_json()["gains"]["by_kind"]
    assert sum(each["tokens"] for each in by_kind) == everything["tokens"]
    assert {each["label"] for each in by_kind} <= set(KINDS)


def test_only_the_beginning_is_read_where_less_is_asked_for() -> None:
    found = inspected(max_tokens=40)
    assert len(found.text.encode()) == len(found.spans) == len(found.found) == 40
    assert found.as_json()["text"] == found.text


def test_without_another_document_that_reading_is_left_out() -> None:
    found = inspect(model(), DOCUMENT, Bytes())
    assert "other" not in found.nats
    assert found.as_json()["other"] is None


def test_memory_0_inspects_a_remembering_model_as_if_it_had_none() -> None:
    found = inspected(memory=0)
    assert list(found.nats) == ["none"]
    assert found.as_json()["gains"] == {}


def test_progress_is_told_by_reading() -> None:
    seen: list[tuple[str, int, int]] = []
    inspected(on_progress=lambda *said: seen.append(said))
    last = {name: (done, total) for name, done, total in seen}
    n = len(DOCUMENT.text.encode())
    assert len(last) == 5
    assert all(done == total for done, total in last.values()), "each reading comes to its end"
    assert {done for done, _ in last.values()} == {n}


@pytest.mark.parametrize(
    ("kind", "text", "options", "said"),
    [
        ("memorizing", "", {}, "a: no token to predict"),
        ("memorizing", "x" * 16, {}, "a: 16 tokens to predict, and the memory is empty for the first 16"),
        ("memorizing", "x" * 50, {"memory": 3}, "3 entries is smaller than top_k = 4"),
        ("memorizing", "x" * 50, {"max_tokens": 0}, "max_tokens 0"),
        ("transformer-xl", "x" * 50, {"memory": 64}, "memory 64: this model has no kNN memory"),
    ],
)
def test_what_cannot_be_inspected_is_a_problem(kind: str, text: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(Problem, match=said):
        inspect(model(kind), Document("a", text), Bytes(), **options)
