import json
import math
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from mnemon.config import Problem
from mnemon.data import DataConfig, Document, Tokenizer, inputs_and_targets, make_tokenizer
from mnemon.data.byte_tokens import Bytes
from mnemon.evaluate import Evaluation, evaluate
from mnemon.model import Transformer

# Longer than the memory, shorter than a segment, exactly one and two segments, one letter, empty.
LENGTHS = (75, 130, 0, 20, 16, 1, 97, 32)
DOCUMENTS = [Document(f"d{k}", (tiny.text(k, 3) * 2)[:n]) for k, n in enumerate(LENGTHS)]
SYMBOLS = make_tokenizer(DataConfig(tokenizer="symbols"), DOCUMENTS)
KNN = {kind for kind in tiny.POOLS if "memorizing" in kind}


def model(kind: str = "memorizing", **changes: Any) -> Transformer:
    """A model whose memory matters: untrained, with an open gate."""
    made = tiny.model(kind, **changes).build(seed=3)
    for block in made.blocks:
        if block.attention.gate is not None:
            block.attention.gate.data.fill_(0.5)
    return made


def by_hand(made: Transformer, document: Document, tokenizer: Tokenizer, memory: int) -> np.ndarray:
    """The loss of each token of one document, read alone segment by segment."""
    inputs, targets = inputs_and_targets(tokenizer.encode(document.text), tokenizer.start)
    state = made.init_state(1, memory)
    losses = []
    with torch.no_grad():
        for at in range(0, len(inputs), 16):
            tokens = torch.from_numpy(inputs[None, at : at + 16]).long()
            output, update = made(tokens, state)
            losses.append(made.head.nll(output.hidden, torch.from_numpy(targets[None, at : at + 16]).long())[0])
            state.commit(update)
    return torch.cat(losses).numpy() if losses else np.zeros(0)


def nats(found: Evaluation, size: int) -> dict[str, np.ndarray]:
    return {each.document: each.nats for each in found.memory[size].documents}


@pytest.mark.parametrize("kind", tiny.POOLS)
@pytest.mark.parametrize("tokenizer", [Bytes(), SYMBOLS], ids=["start", "no start"])
def test_each_document_is_read_as_if_alone(kind: str, tokenizer: Tokenizer) -> None:
    made = model(kind)
    sizes = (0, 48) if "memorizing" in kind else (0,)
    found = evaluate(made, DOCUMENTS, tokenizer, sizes, rows=3)
    for size in sizes:
        read = nats(found, size)
        for document in DOCUMENTS:
            wanted = by_hand(made, document, tokenizer, size)
            if len(wanted):
                assert np.allclose(read[document.id], wanted, atol=1e-4)
            else:
                assert document.id not in read


@pytest.mark.parametrize("kind", tiny.POOLS)
@pytest.mark.parametrize("source", ["own", "other", "shuffled"])
def test_the_number_of_rows_changes_nothing(kind: str, source: Any) -> None:
    made = model(kind)
    first, *rest = (
        evaluate(made, DOCUMENTS, Bytes(), rows=n, memory_source=source, memory=None if kind not in KNN else (20,))
        for n in (1, 3, 99)
    )
    for other in rest:
        for size, result in first.memory.items():
            for a, b in zip(result.documents, other.memory[size].documents, strict=True):
                assert a.document == b.document
                assert np.allclose(a.nats, b.nats, atol=1e-4)


def test_memory_matters_only_behind_the_first_segment() -> None:
    found = evaluate(model(), DOCUMENTS, Bytes(), (0, 48))
    without, with_memory = nats(found, 0), nats(found, 48)
    for name, losses in without.items():
        assert np.allclose(losses[:16], with_memory[name][:16], atol=1e-5)
        assert len(losses) <= 16 or not np.allclose(losses[16:], with_memory[name][16:], atol=1e-3)


def test_the_metrics_are_those_of_the_tokens() -> None:
    found = evaluate(model(), DOCUMENTS, Bytes(), (0, 48))
    texts = [document.text for document in DOCUMENTS]
    n_bytes = sum(len(text.encode("utf-8")) for text in texts)
    assert found.bytes == found.tokens == n_bytes
    result = found.memory[48]
    total = math.fsum(float(x) for each in result.documents for x in each.nats)
    assert result.metrics["nats_per_token"] == pytest.approx(total / n_bytes)
    assert result.metrics["bits_per_byte"] == pytest.approx(total / math.log(2) / n_bytes)
    assert result.metrics["perplexity"] == pytest.approx(math.exp(total / n_bytes))


def test_line_ends_are_left_out_of_one_perplexity_where_the_vocabulary_has_them() -> None:
    assert evaluate(model(), DOCUMENTS, Bytes(), (0,)).memory[0].metrics["perplexity_without_eos"] is None
    result = evaluate(model(), DOCUMENTS, SYMBOLS, (0,)).memory[0]
    texts = {document.id: document.text.encode("utf-8") for document in DOCUMENTS}
    kept = [
        float(x)
        for each in result.documents
        for x, at in zip(each.nats, each.positions, strict=True)
        if texts[each.document][at] != ord("\n")
    ]
    assert result.metrics["perplexity_without_eos"] == pytest.approx(math.exp(math.fsum(kept) / len(kept)))
    assert result.metrics["perplexity_without_eos"] != result.metrics["perplexity"]


def test_without_a_start_id_the_first_token_is_not_predicted() -> None:
    found = evaluate(model(), DOCUMENTS, SYMBOLS, (0,))
    for each in found.memory[0].documents:
        assert each.positions.tolist() == list(range(1, len(each.nats) + 1))
    texts = [document.text for document in DOCUMENTS if len(document.text.encode("utf-8")) > 1]
    assert found.bytes == found.tokens == sum(len(text.encode("utf-8")) - 1 for text in texts)


def test_as_json_has_the_promised_form() -> None:
    found = evaluate(model(), DOCUMENTS, Bytes(), (0, 8)).as_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found) == ["memory", "tokens", "bytes"]
    assert list(found["memory"]) == ["0", "8"]
    for metrics in found["memory"].values():
        assert list(metrics) == [
            "nats_per_token",
            "perplexity",
            "perplexity_without_eos",
            "bits_per_byte",
            "by_position",
        ]


def test_max_tokens_reads_the_beginning_of_each_document() -> None:
    made = model()
    whole, cut = (nats(evaluate(made, DOCUMENTS, Bytes(), (48,), max_tokens=n), 48) for n in (None, 37))
    for name, losses in whole.items():
        assert len(cut[name]) == min(len(losses), 37)
        assert np.allclose(cut[name], losses[:37], atol=1e-4)


def test_documents_come_back_in_the_order_given() -> None:
    found = evaluate(model(), DOCUMENTS, Bytes(), (0,), rows=4).memory[0].documents
    assert [each.document for each in found] == [d.id for d in DOCUMENTS if d.text]


def test_evaluation_touches_neither_the_model_nor_random_numbers() -> None:
    made = model(dropout=0.5, final_dropout=0.5)
    made.train()
    before = {name: t.clone() for name, t in made.state_dict().items()}
    random = torch.get_rng_state()
    first, second = (evaluate(made, DOCUMENTS, Bytes(), (8,)) for _ in range(2))
    assert made.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(t, before[name]) for name, t in made.state_dict().items())
    assert all(p.grad is None for p in made.parameters())
    assert first.memory[8].metrics == second.memory[8].metrics


def test_bfloat16_is_near_float32() -> None:
    made = model()
    wide, narrow = (evaluate(made, DOCUMENTS, Bytes(), (8,), precision=p) for p in ("float32", "bfloat16"))
    assert narrow.memory[8].metrics["nats_per_token"] == pytest.approx(
        wide.memory[8].metrics["nats_per_token"], rel=0.02
    )
    assert narrow.memory[8].metrics != wide.memory[8].metrics


def test_progress_counts_every_token_once_a_size() -> None:
    seen: list[tuple[int, int]] = []
    for tokenizer in (Bytes(), SYMBOLS):
        seen.clear()
        found = evaluate(model(), DOCUMENTS, tokenizer, (0, 8), on_progress=lambda *n: seen.append(n))
        assert seen[-1] == (2 * found.tokens, 2 * found.tokens)
        assert seen == sorted(seen)


def test_a_stream_is_cut_into_rows_and_a_document_never() -> None:
    text = "".join(document.text for document in DOCUMENTS)
    made = model()
    stream = evaluate(made, [Document("s", text, stream=True)], Bytes(), (8,), rows=3).memory[8].documents[0]
    whole = evaluate(made, [Document("s", text)], Bytes(), (8,), rows=3).memory[8].documents[0]
    assert stream.positions.tolist() == whole.positions.tolist()
    third = len(text.encode("utf-8")) // 3
    assert np.allclose(stream.nats[:third], whole.nats[:third], atol=1e-4)
    assert not np.allclose(stream.nats[third:], whole.nats[third:], atol=1e-2)


def test_the_default_sizes_are_those_that_the_model_can_have() -> None:
    assert list(evaluate(model("transformer-xl"), DOCUMENTS[:3], Bytes()).memory) == [0]
    assert list(evaluate(model(), DOCUMENTS[:3], Bytes()).memory) == [0, 512, 2048, 8192]


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("transformer-xl", {"memory": (0, 512)}, "memory 512: this model has no kNN memory"),
        ("memorizing", {"memory": (0, 3)}, "3 entries is smaller than top_k = 4"),
        ("memorizing", {"memory": ()}, "no memory size given"),
        ("memorizing", {"rows": 0}, "rows 0"),
        ("memorizing", {"max_tokens": 0}, "max_tokens 0"),
    ],
)
def test_sizes_that_cannot_be_are_a_problem(kind: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(Problem, match=said):
        evaluate(model(kind), DOCUMENTS, Bytes(), **options)


@pytest.mark.parametrize("documents", [[], [Document("a", "")]])
def test_nothing_to_predict_is_a_problem(documents: list[Document]) -> None:
    with pytest.raises(Problem, match="no document has a token to predict"):
        evaluate(model(), documents, Bytes())


def test_broken_weights_are_a_problem_that_names_the_document() -> None:
    made = model()
    made.norm.weight.data.fill_(math.nan)
    with pytest.raises(Problem, match=r"d\d: the loss of a token is not a number"):
        evaluate(made, DOCUMENTS, Bytes(), (0,))


def strangers(made: Transformer, own: Document, other: Document, memory: int) -> np.ndarray:
    """Losses of `own` read with the memory that as many tokens of `other` filled, which nothing is added to."""
    state = made.init_state(1, memory)
    n = len(Bytes().encode(own.text))
    losses = []
    with torch.no_grad():
        for document, remember in ((other, True), (own, False)):
            inputs, targets = inputs_and_targets(Bytes().encode(document.text)[:n], Bytes.start)
            state.reset(torch.tensor([True]), memory=remember)
            for at in range(0, len(inputs), 16):
                tokens = torch.from_numpy(inputs[None, at : at + 16]).long()
                output, update = made(tokens, state)
                state.commit(update, torch.tensor([at + 16 >= len(inputs)]), memory=remember)
                if not remember:
                    wanted = torch.from_numpy(targets[None, at : at + 16]).long()
                    losses.append(made.head.nll(output.hidden, wanted)[0])
    return torch.cat(losses).numpy()


@pytest.mark.parametrize("kind", sorted(KNN))
def test_the_control_reads_with_another_documents_memory(kind: str) -> None:
    made = model(kind)
    documents = [document for document in DOCUMENTS if document.text]
    found = nats(evaluate(made, documents, Bytes(), (48,), rows=3, memory_source="other"), 48)
    order = sorted(documents, key=lambda document: -len(Bytes().encode(document.text)))
    for own, other in zip(order, [order[-1], *order[:-1]], strict=True):
        assert np.allclose(found[own.id], strangers(made, own, other, 48), atol=1e-4)


def test_the_control_without_memory_is_the_reading_without_memory() -> None:
    made = model()
    own, other = (evaluate(made, DOCUMENTS, Bytes(), (0,), memory_source=source) for source in ("own", "other"))
    for a, b in zip(own.memory[0].documents, other.memory[0].documents, strict=True):
        assert np.allclose(a.nats, b.nats, atol=1e-5)


def test_the_control_needs_another_document() -> None:
    with pytest.raises(Problem, match="at least two documents"):
        evaluate(model(), DOCUMENTS[:1], Bytes(), (48,), memory_source="other")
