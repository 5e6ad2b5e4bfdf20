from pathlib import Path

import pytest
import torch

import mnemon
from mnemon.config import Problem
from readers import byte_tokenizer, llama, tokens


def answers(model: torch.nn.Module, rows: int = 1) -> torch.Tensor:
    with torch.no_grad():
        return model(tokens(rows, 7, seed=9)).logits


@pytest.mark.parametrize("sees", ["local", "document"])
def test_to_forget_is_never_to_have_read(sees: str) -> None:
    model = llama()
    memory = mnemon.attach(model, segment=8, overlap=3, sees=sees, positions="original")
    memory.read(input_ids=tokens(20, seed=1), document="a")
    memory.read(input_ids=tokens(30, seed=2), document="b")
    without = answers(model)
    memory.forget("a")
    memory.read(input_ids=tokens(25, seed=3), document="c")
    memory.forget("c")
    assert len(memory) == 30
    forgotten = answers(model)
    mnemon.detach(model)
    memory = mnemon.attach(model, segment=8, overlap=3, sees=sees, positions="original")
    memory.read(input_ids=tokens(30, seed=2), document="b")
    torch.testing.assert_close(forgotten, answers(model))
    assert not torch.equal(forgotten, without)


def test_rows_see_their_namespace_alone_and_beams_share_it() -> None:
    model = llama()
    memory = mnemon.attach(model, layers="all")
    memory.read(input_ids=tokens(20, seed=1), document="a", namespace="alice")
    memory.read(input_ids=tokens(20, seed=2), document="b", namespace="bob")
    alone = {}
    for name in ("alice", "bob", "nobody"):
        with memory.using(name):
            alone[name] = answers(model)
    with memory.using(["bob", "nobody", "alice"]):
        together = answers(model, rows=3)
        six = answers(model, rows=6)
        with pytest.raises(Problem, match="4 rows cannot be shared out among 3 namespaces"):
            answers(model, rows=4)
    plain = answers(model, rows=3)
    inputs = tokens(3, 7, seed=9)
    for row, name in enumerate(["bob", "nobody", "alice"]):
        with memory.using(name), torch.no_grad():
            torch.testing.assert_close(together[row], model(inputs[row : row + 1]).logits[0])
    assert torch.equal(together[1], plain[1])
    assert len(six) == 6
    torch.testing.assert_close(plain[:1], alone["nobody"])


def test_a_text_is_read_as_its_tokens_are(tmp_path: Path) -> None:
    model, tokenizer = llama(), byte_tokenizer()
    text = "The manual says: häuser & cafés. " * 5
    file = tmp_path / "manual.txt"
    file.write_text(text)
    memory = mnemon.attach(model, tokenizer, segment=16, overlap=5)
    count = memory.read(file)
    (document,) = memory.documents
    assert (document.name, document.source, document.text) == (str(file), str(file), text)
    assert count == len(document) == len(tokenizer(text)["input_ids"])
    start, end = document.spans[5].tolist()
    assert text[start:end] == "a"
    assert document.positions.tolist() == list(range(count))
    expected = answers(model)
    memory.forget(str(file))
    memory.read(input_ids=document.tokens, document="tokens")
    assert torch.equal(answers(model), expected)


def test_a_segment_sees_its_overlap() -> None:
    """Entries of a later segment are those of a forward over the overlap and the segment."""
    model, ids = llama(), tokens(21)
    memory = mnemon.attach(model, segment=9, overlap=4)
    memory.read(input_ids=ids, document="a")
    (document,) = memory.documents
    memory.forget("a")
    memory.read(input_ids=ids[5:14], document="b")  # its last five are new to the second segment
    torch.testing.assert_close(document.keys[1][:, 9:14], memory.documents[0].keys[1][:, 4:])


def test_next_values_stand_with_the_key_before() -> None:
    model, ids = llama(), tokens(21)
    memory = mnemon.attach(model, segment=9, overlap=4)
    memory.read(input_ids=ids, document="a")
    (own,) = memory.documents
    mnemon.detach(model)
    memory = mnemon.attach(model, segment=9, overlap=4, value="next")
    memory.read(input_ids=ids, document="a")
    (shifted,) = memory.documents
    torch.testing.assert_close(shifted.values[1], own.values[1])
    torch.testing.assert_close(shifted.keys[1][:, 1:], own.keys[1][:, :-1])
    torch.testing.assert_close(shifted.keys[1][:, 0], own.keys[1][:, 0])


def test_an_interrupted_reading_leaves_nothing() -> None:
    model = llama()

    def stop(done: int, total: int) -> None:
        if done > 20:
            raise KeyboardInterrupt

    for sees in ("local", "memory"):
        memory = mnemon.attach(model, segment=4, overlap=1, sees=sees)
        memory.read(input_ids=tokens(10, seed=1), document="a")
        before = answers(model)
        with pytest.raises(KeyboardInterrupt):
            memory.read(input_ids=tokens(60, seed=2), document="b", progress=stop)
        assert len(memory) == 10
        torch.testing.assert_close(answers(model), before)
        mnemon.detach(model)


def test_replace_is_all_or_nothing() -> None:
    model = llama()
    memory = mnemon.attach(model, byte_tokenizer(), segment=8, overlap=1)
    memory.read(text="one " * 9, document="a")
    memory.read(text="two " * 9, document="b")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        memory.replace("a", "three " * 9, progress=stop)
    assert [(each.name, each.text[:3]) for each in memory.documents] == [("a", "one"), ("b", "two")]
    memory.replace("a", "three " * 9)
    assert [(each.name, each.text[:3]) for each in memory.documents] == [("b", "two"), ("a", "thr")]


def test_reading_leaves_training_mode_and_makes_no_gradient() -> None:
    model = llama().train()
    model.model.layers[0].eval()
    memory = mnemon.attach(model)
    memory.read(input_ids=tokens(20), document="a")
    assert model.training
    assert not model.model.layers[0].training
    assert not memory.documents[0].keys[1].requires_grad


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "give one of path, text and input_ids"),
        ({"text": "a", "input_ids": tokens(3), "document": "x"}, "give one of"),
        ({"input_ids": tokens(3)}, "need an id"),
        ({"text": "abc", "document": "x"}, "needs a tokenizer"),
        ({"input_ids": tokens(2, 3), "document": "x"}, r"shape \(2, 3\)"),
        ({"input_ids": tokens(3), "document": "old"}, "remembered already"),
    ],
)
def test_bad_readings_are_said(given: dict[str, object], said: str) -> None:
    memory = mnemon.attach(llama())
    memory.read(input_ids=tokens(5), document="old")
    with pytest.raises(Problem, match=said):
        memory.read(**given)
    with pytest.raises(Problem, match="did you mean 'old'"):
        memory.forget("olt")


def test_fingerprint_tells_weights_tokenizer_and_layers_apart() -> None:
    model, tokenizer = llama(), byte_tokenizer()
    first = mnemon.attach(model, tokenizer).fingerprint()
    assert (first.heads, first.dim, first.layers, first.dtype) == (2, 8, (1,), "float64")
    mnemon.detach(model)
    assert mnemon.attach(model, tokenizer, merge="gated").fingerprint() == first
    mnemon.detach(model)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight += 1e-3
    other = mnemon.attach(model, layers=(2,)).fingerprint()
    said = first.differs(other)
    assert said is not None
    assert all(word in said for word in ("model", "tokenizer", "layers"))
    assert "dtype" not in said


def test_a_saved_memory_answers_as_before(tmp_path: Path) -> None:
    model, tokenizer = llama(dtype=torch.float32), byte_tokenizer()
    memory = mnemon.attach(model, tokenizer, layers=(0, 2), positions="original", value="next", top_k=4)
    memory.read(text="The red valve opens first.", document="a")
    memory.read(text="The blue one is old.", document="b")
    memory.read(text="A secret.", document="a", namespace="alice")
    expected = answers(model)
    saved = memory.save(tmp_path / "m.mem")
    assert (saved.written, saved.precision) == (3, "float32")
    mnemon.detach(model)
    again = mnemon.Memory.load(tmp_path / "m.mem", model, tokenizer, top_k=4)
    assert (again.layers, again.config.positions, again.config.value) == ((0, 2), "original", "next")
    torch.testing.assert_close(answers(model), expected)
    again.forget("b")
    again.read(text="Something else.", document="c")
    same = mnemon.Memory.load(tmp_path / "m.mem", model)
    assert same is again
    torch.testing.assert_close(answers(model), expected)
    assert [(each.namespace, each.name) for each in again.documents] == [("", "a"), ("", "b"), ("alice", "a")]
    out = model.generate(tokens(1, 4), max_new_tokens=2, do_sample=False)
    assert {c.document for each in again.citations(out)[0] for c in each.citations} <= {"a", "b"}


def test_a_memory_of_another_model_is_refused_and_nothing_is_left_behind(tmp_path: Path) -> None:
    model = llama(dtype=torch.float32)
    memory = mnemon.attach(model)
    memory.read(input_ids=tokens(20), document="a")
    memory.save(tmp_path / "m.mem")
    other = llama(dtype=torch.float32)
    with torch.no_grad():
        other.model.embed_tokens.weight.mul_(2)
    with pytest.raises(Problem, match="belongs to another model or setting: model 'llama"):
        mnemon.Memory.load(tmp_path / "m.mem", other)
    mnemon.attach(other)
    mnemon.detach(other)
    with pytest.raises(Problem, match="dtype 'float32' instead of 'bfloat16'"):
        mnemon.Memory.load(tmp_path / "m.mem", llama(dtype=torch.bfloat16))
    mnemon.detach(model)
    with pytest.raises(Problem, match="20 entries, and size is 10"):
        mnemon.Memory.load(tmp_path / "m.mem", model, size=10, top_k=4)
