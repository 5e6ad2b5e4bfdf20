import pytest
import torch

import mnemon
from mnemon.config import Problem
from readers import byte_tokenizer, llama, tokens


def test_citations_name_the_entries_that_a_token_drew_on() -> None:
    model, tokenizer = llama(), byte_tokenizer()
    memory = mnemon.attach(model, tokenizer, layers=(1, 2), merge="gated", gate=0.5, top_k=4)
    memory.read(text="All the world is a stage.", document="play")
    memory.read(text="Call me Ishmael.", document="whale")
    prompt = tokenizer("It was", return_tensors="pt")
    out = model.generate(**prompt, max_new_tokens=5, do_sample=False)
    (row,) = memory.citations(out, top=3)
    assert [each.token for each in row] == out[0, 6:].tolist()
    texts = {each.name: each.text for each in memory.documents}
    for each in row:
        weights = [citation.weight for citation in each.citations]
        assert len(weights) == 3
        assert weights == sorted(weights, reverse=True)
        assert all(0 < weight <= 0.5 for weight in weights)
        for citation in each.citations:
            assert citation.layer in (1, 2)
            assert citation.text == texts[citation.document][citation.start : citation.end]


def test_shares_of_all_neighbours_are_the_gate() -> None:
    model = llama()
    memory = mnemon.attach(model, layers=(1,), merge="gated", gate=0.5, top_k=4)
    memory.read(input_ids=tokens(20), document="a")
    out = model.generate(tokens(1, 4), max_new_tokens=2, do_sample=False)
    (row,) = memory.citations(out, top=100)
    for each in row:
        assert len(each.citations) == 4 * 4
        assert sum(citation.weight for citation in each.citations) == pytest.approx(4 * 0.5)


def test_beams_and_padded_rows_are_cited_like_the_row_alone() -> None:
    model, tokenizer = llama(), byte_tokenizer()
    memory = mnemon.attach(model, tokenizer, top_k=4)
    memory.read(text="All the world is a stage.", document="play", namespace="a")
    memory.read(text="Call me Ishmael.", document="whale", namespace="b")
    both = tokenizer(["It", "She was"], return_tensors="pt", padding=True)
    with memory.using(["a", "b"]):
        out = model.generate(**both, max_new_tokens=4, num_beams=3, num_return_sequences=2, do_sample=False)
        together = memory.citations(out)
    assert len(together) == 4
    assert {citation.document for row in together[:2] for each in row for citation in each.citations} == {"play"}
    with memory.using("b"):
        one = tokenizer("She was", return_tensors="pt")
        alone_out = model.generate(**one, max_new_tokens=4, num_beams=3, num_return_sequences=2, do_sample=False)
        alone = memory.citations(alone_out)
    assert torch.equal(alone_out, out[2:])
    for first, second in zip(alone, together[2:], strict=True):
        for a, b in zip(first, second, strict=True):
            assert a.token == b.token
            assert [c.weight for c in a.citations] == pytest.approx([c.weight for c in b.citations])


def test_citations_refuse_what_the_last_call_did_not_make() -> None:
    model = llama()
    memory = mnemon.attach(model)
    with pytest.raises(Problem, match="not been called"):
        memory.citations(tokens(1, 8))
    memory.read(input_ids=tokens(20), document="a")
    out = model.generate(tokens(1, 4), max_new_tokens=2, do_sample=False)
    with pytest.raises(Problem, match="not what the last call made"):
        memory.citations(out + 1)
    memory.forget("a")
    with pytest.raises(Problem, match="changed since"):
        memory.citations(out)
    out = model.generate(tokens(1, 4), max_new_tokens=2, do_sample=False, return_dict_in_generate=True)
    assert [each.citations for each in memory.citations(out)[0]] == [(), ()]


def test_what_was_said_is_remembered_in_the_namespace_of_its_row() -> None:
    model, tokenizer = llama(), byte_tokenizer()
    memory = mnemon.attach(model, tokenizer, top_k=4)
    both = tokenizer(["It", "She was"], return_tensors="pt", padding=True)
    with memory.using(["a", "b"]):
        out = model.generate(**both, max_new_tokens=4, num_beams=2, do_sample=False)
        assert len(memory) == 0
        assert memory.remember(out, "talk") == 2 + 7 + 2 * 4
        with pytest.raises(Problem, match="'talk 0' is remembered already"):
            memory.remember(out, "talk")
    kept = {each.namespace: each for each in memory.documents}
    assert {name: each.name for name, each in kept.items()} == {"a": "talk 0", "b": "talk 1"}
    assert torch.equal(kept["a"].tokens, out[0, 5:])
    assert torch.equal(kept["b"].tokens, out[1])
    assert kept["b"].text.startswith("She was")


def test_an_answer_ends_with_the_token_that_ends_it() -> None:
    model = llama()
    memory = mnemon.attach(model)
    memory.read(input_ids=tokens(20), document="a")
    out = model.generate(tokens(1, 4), max_new_tokens=6, do_sample=False)
    model.generation_config.eos_token_id = [255, int(out[0, 6])]
    (row,) = memory.citations(out)
    assert [each.token for each in row] == out[0, 4:7].tolist()
    assert memory.remember(out, "talk") == 7
