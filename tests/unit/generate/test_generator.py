import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

import tiny
from mnemon.config import Problem
from mnemon.data import DataConfig, Tokenizer, make_tokenizer
from mnemon.data.byte_tokens import Bytes
from mnemon.generate import Generation, Generator, Sampling, Token, generate
from mnemon.model import Transformer

SYMBOLS = make_tokenizer(DataConfig(tokenizer="symbols"), tiny.documents())
REMEMBERED = [("first", tiny.text(3, 2)[:70]), ("second", tiny.text(5, 1)[:21])]
PROMPT = tiny.text(3, 1)[:23]


def model(kind: str = "memorizing", **changes: Any) -> Transformer:
    """An untrained model in float64 whose memory matters."""
    made = tiny.model(kind, **changes).build(seed=3).double()
    for block in made.blocks:
        if block.attention.gate is not None:
            block.attention.gate.data.fill_(0.5)
    return made


def at_once(made: Transformer, texts: list[str], tokenizer: Tokenizer) -> Tensor:
    """Logits at every token of the last text: all texts fed a segment at a time, as training and evaluation do."""
    state = made.init_state(1)
    found = []
    with torch.no_grad():
        for text in texts:
            state.reset(torch.tensor([True]), memory=False)
            found = []
            ids = torch.from_numpy(tokenizer.encode(text)).long()[None]
            if tokenizer.start is not None:
                ids = torch.cat([torch.tensor([[tokenizer.start]]), ids], dim=1)
            for at in range(0, ids.shape[1], 16):
                output, update = made(ids[:, at : at + 16], state)
                found.append(made.head.logits(output.hidden)[0])
                state.commit(update, torch.tensor([at + 16 >= ids.shape[1]]))
    return torch.cat(found)


@pytest.mark.parametrize("kind", tiny.POOLS)
@pytest.mark.parametrize("tokenizer", [Bytes(), SYMBOLS], ids=["start", "no start"])
def test_generation_equals_teacher_forcing(kind: str, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = model(kind)
    remember = REMEMBERED if "memorizing" in kind else []
    seen: list[Tensor] = []
    feed = Generator._feed

    def watched(self: Generator, *args: Any, **kwargs: Any) -> Tensor:
        seen.append(feed(self, *args, **kwargs))
        return seen[-1]

    monkeypatch.setattr(Generator, "_feed", watched)
    found = generate(made, tokenizer, PROMPT, remember, Sampling(max_tokens=50, temperature=1.5, top_k=30))
    whole = torch.tensor([*tokenizer.encode(PROMPT).tolist(), *found.tokens])
    monkeypatch.setattr(type(tokenizer), "encode", lambda self, text: ids_of(text, tokenizer, whole))
    wanted = at_once(made, [*(text for _, text in remember), "WHOLE"], tokenizer)
    stepwise = torch.cat(seen)
    assert len(stepwise) == 51
    assert torch.allclose(stepwise, wanted[-51:], atol=1e-5)


ENCODE = {type(tokenizer): type(tokenizer).encode for tokenizer in (Bytes(), SYMBOLS)}


def ids_of(text: str, tokenizer: Tokenizer, whole: Tensor) -> Any:
    """The tokens of a text; `WHOLE` stands for tokens that need not be valid text."""
    return whole.numpy() if text == "WHOLE" else ENCODE[type(tokenizer)](tokenizer, text)


def test_what_was_remembered_matters() -> None:
    made = model()
    alone, reminded = Generator(made, Bytes()), Generator(made, Bytes())
    reminded.remember(*REMEMBERED[0])
    assert not torch.allclose(alone.read(PROMPT), reminded.read(PROMPT), atol=1e-3)


def test_only_the_memory_of_a_remembered_document_stays() -> None:
    made = model("memorizing")
    for block in made.blocks:
        if block.attention.gate is not None:
            block.attention.gate.data.fill_(-1e9)
    alone, reminded = Generator(made, Bytes()), Generator(made, Bytes())
    reminded.remember(*REMEMBERED[0])
    assert torch.allclose(alone.read(PROMPT), reminded.read(PROMPT), atol=1e-6)


def test_remembered_documents_say_where_they_stand_in_the_stream() -> None:
    generator = Generator(model(), Bytes())
    for name, text in [*REMEMBERED, ("empty", "")]:
        generator.remember(name, text)
    found = [(each.name, each.first, each.end) for each in generator.remembered]
    first, second = (len(text.encode("utf-8")) + 1 for _, text in REMEMBERED)
    assert found == [
        ("first", 0, first),
        ("second", first, first + second),
        ("empty", first + second, first + second + 1),
    ]


def test_the_memory_can_be_larger_smaller_or_none() -> None:
    made = model()
    reads = []
    for size in (0, 8, 48, 400):
        generator = Generator(made, Bytes(), memory=size)
        generator.remember(*REMEMBERED[0])
        reads.append(generator.read(PROMPT))
    alone = Generator(made, Bytes(), memory=0)
    assert torch.allclose(reads[0], alone.read(PROMPT), atol=1e-6)
    assert all(not torch.allclose(a, b, atol=1e-4) for a, b in itertools.pairwise(reads))


def test_the_seed_decides_the_text() -> None:
    made = model()
    texts = [
        generate(made, Bytes(), PROMPT, sampling=Sampling(max_tokens=20, temperature=1.0, seed=seed)).tokens
        for seed in (0, 0, 1)
    ]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_temperature_zero_writes_the_likeliest_tokens_whatever_the_seed() -> None:
    made = model()
    found = {generate(made, Bytes(), PROMPT, sampling=Sampling(12, 0.0, seed=seed)).tokens for seed in range(3)}
    assert len(found) == 1


def test_rows_continue_one_prompt_each_on_its_own() -> None:
    made = model()
    several = generate(made, Bytes(), PROMPT, REMEMBERED, Sampling(max_tokens=40, temperature=1.2, rows=3))
    assert len(set(several.rows)) == 3
    for tokens in several.rows:
        whole = Bytes().decode(list(tokens))
        assert len(tokens) == 40
        assert whole in several.texts
    single = generate(made, Bytes(), PROMPT, REMEMBERED, Sampling(max_tokens=40, temperature=0.0))
    alike = generate(made, Bytes(), PROMPT, REMEMBERED, Sampling(max_tokens=40, temperature=0.0, rows=3))
    assert set(alike.rows) == {single.tokens}


@pytest.mark.parametrize("tokenizer", [Bytes(), SYMBOLS], ids=["start", "no start"])
def test_every_token_is_called_back_as_it_is_drawn(tokenizer: Tokenizer) -> None:
    seen: list[Token] = []
    found = generate(
        model(), tokenizer, PROMPT, sampling=Sampling(max_tokens=9, temperature=2.0, rows=2), on_token=seen.append
    )
    assert [token.row for token in seen] == [0, 1] * 9
    for row in range(2):
        own = [token for token in seen if token.row == row]
        assert tuple(token.id for token in own) == found.rows[row]
        assert "".join(token.text for token in own) == found.texts[row]


def test_a_generation_is_that_of_its_first_row() -> None:
    found = generate(model(), Bytes(), PROMPT, sampling=Sampling(max_tokens=5, rows=2))
    assert isinstance(found, Generation)
    assert found.text == found.texts[0]
    assert found.tokens == found.rows[0]


def test_the_start_id_and_ids_without_a_token_are_never_drawn() -> None:
    made = model(vocab_size=300)
    made.embedding.table.data[256:] *= 100
    found = generate(made, Bytes(), PROMPT, sampling=Sampling(max_tokens=60, temperature=5.0))
    assert max(found.tokens) < 256


def test_writing_can_go_on_and_equals_writing_at_once() -> None:
    made = model()
    whole = generate(made, Bytes(), PROMPT, REMEMBERED, Sampling(max_tokens=30, temperature=0.0))
    generator = Generator(made, Bytes())
    for name, text in REMEMBERED:
        generator.remember(name, text)
    generator.read(PROMPT)
    parts = [generator.write(Sampling(max_tokens=n, temperature=0.0)).tokens for n in (7, 23)]
    assert parts[0] + parts[1] == whole.tokens


def test_what_was_written_can_be_remembered_with_the_next_prompt() -> None:
    made = model()
    generator, other = Generator(made, Bytes()), Generator(made, Bytes())
    generator.read(PROMPT)
    generator.write(Sampling(max_tokens=20))
    assert not torch.allclose(generator.read("again"), other.read("again"), atol=1e-3)


def test_an_empty_prompt_needs_a_start_token() -> None:
    assert len(generate(model(), Bytes(), "", sampling=Sampling(max_tokens=3)).tokens) == 3
    with pytest.raises(Problem, match="the prompt is empty"):
        generate(model(), SYMBOLS, "")


def test_a_reading_that_is_interrupted_leaves_the_model_training(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model().train()
    generator = Generator(made, Bytes())

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(made, "remember", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generator.remember(*REMEMBERED[0])
    assert made.training


def test_a_model_without_memory_cannot_remember() -> None:
    with pytest.raises(Problem, match="first: this model has no kNN memory"):
        generate(model("transformer-xl"), Bytes(), PROMPT, REMEMBERED)
    with pytest.raises(Problem, match="memory 512: this model has no kNN memory"):
        Generator(model("transformer-xl"), Bytes(), memory=512)
    with pytest.raises(Problem, match="smaller than top_k"):
        Generator(model(), Bytes(), memory=2)


def test_writing_needs_something_to_continue() -> None:
    with pytest.raises(ValueError, match="read a prompt first"):
        Generator(model(), Bytes()).write(Sampling())


def test_generating_leaves_the_model_and_random_numbers_as_they_were() -> None:
    made = model(dropout=0.5)
    made.train()
    before = torch.get_rng_state()
    first, second = (generate(made, Bytes(), PROMPT, sampling=Sampling(max_tokens=9)).tokens for _ in range(2))
    assert first == second
    assert made.training
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is None for p in made.parameters())


def test_bfloat16_writes_too() -> None:
    found = generate(tiny.model().build(), Bytes(), PROMPT, REMEMBERED, Sampling(max_tokens=5), precision="bfloat16")
    assert len(found.tokens) == 5
