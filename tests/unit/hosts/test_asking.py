import pytest
import torch
from transformers import PreTrainedTokenizerFast

from mnemon.config import Problem
from mnemon.hosts import Memory, MemoryConfig, ask, drawing
from mnemon.hosts.asking import prompt
from readers import byte_tokenizer, llama

TEMPLATE = "{% for turn in messages %}<{{ turn.content }}>{% endfor %}{% if add_generation_prompt %}:{% endif %}"


def attached(tokenizer: PreTrainedTokenizerFast | None) -> Memory:
    memory = Memory(llama(dtype=torch.float32), tokenizer, MemoryConfig(segment=16, overlap=4, top_k=3))
    memory.read(input_ids=torch.arange(60, 100), document="manual")
    memory.read(input_ids=torch.arange(90, 130), document="notes", namespace="alice")
    return memory


def test_an_answer_is_what_generate_gives_and_is_heard_piece_by_piece() -> None:
    memory = attached(byte_tokenizer())
    heard: list[str] = []
    answer = ask(memory, "which?", drawing(memory.model, 9, 0.0, None, None), hear=heard.append)
    ids = byte_tokenizer()("which?", return_tensors="pt")["input_ids"]
    out = memory.model.generate(ids, max_new_tokens=9, do_sample=False)
    assert list(answer.tokens) == out[0, 6:].tolist()
    assert answer.text == "".join(heard) == byte_tokenizer().decode(out[0, 6:])
    assert answer.cited == ()


def test_a_seed_decides_and_the_callers_random_state_stays() -> None:
    memory = attached(byte_tokenizer())
    config = drawing(memory.model, 12, 1.5, 50, 0.9)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, other = (ask(memory, "which?", config, seed=seed) for seed in (1, 1, 2))
    assert one == two
    assert one.tokens != other.tokens
    assert torch.equal(torch.get_rng_state(), before)


def test_tokens_are_cited_from_the_namespace_that_is_asked() -> None:
    memory = attached(byte_tokenizer())
    config = drawing(memory.model, 4, 0.0, None, None)
    for namespace, document in (("", "manual"), ("alice", "notes")):
        answer = ask(memory, "which?", config, namespace, cite=True)
        assert len(answer.cited) == 4
        assert {each.document for token in answer.cited for each in token.citations} == {document}
    with pytest.raises(Problem, match=r"namespace 'alcie'.*did you mean 'alice'"):
        ask(memory, "which?", config, "alcie")


def test_a_question_is_a_turn_where_there_is_a_template() -> None:
    tokenizer = byte_tokenizer()
    plain = prompt(tokenizer, "which?")
    tokenizer.chat_template = TEMPLATE
    assert tokenizer.decode(prompt(tokenizer, "which?")[0]) == "<which?>:"
    assert torch.equal(prompt(tokenizer, "which?", chat=False), plain)


def test_nothing_can_be_asked_without_words_or_a_tokenizer() -> None:
    with pytest.raises(Problem, match="the question is empty"):
        prompt(byte_tokenizer(), "")
    memory = attached(None)
    with pytest.raises(Problem, match="asking needs a tokenizer"):
        ask(memory, "which?", drawing(memory.model, 4, 0.0, None, None))
