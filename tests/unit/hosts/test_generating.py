"""Hosts with a memory under transformers' own ways to generate."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, pipeline

from foreign import foreign, tokens
from mnemon.hosts import Memory, attach
from readers import byte_tokenizer

HOSTS = [("llama", "sdpa"), ("gemma2", "eager"), ("gemma3, mixed", "sdpa"), ("gpt2", "sdpa")]
NEW = 6
pytestmark = pytest.mark.usefixtures("unchecked")


def attached(name: str, attention: str, **settings: Any) -> tuple[PreTrainedModel, Memory]:
    """A host that remembers two documents in all layers."""
    model = foreign(name, attention)
    memory = attach(model, **{"layers": "all", "top_k": 4, **settings})
    memory.read(input_ids=tokens(1, 13, seed=3)[0], document="one")
    memory.read(input_ids=tokens(1, 9, seed=4)[0], document="two")
    return model, memory


def generated(model: PreTrainedModel, ids: Tensor, **settings: Any) -> Tensor:
    """What `generate` puts after the prompt: greedily and never ending, unless the settings say otherwise."""
    usual = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    mask = {} if "attention_mask" in settings else {"attention_mask": torch.ones_like(ids)}
    return model.generate(ids, **{**usual, **mask, **settings})[:, ids.shape[1] :]


def looped(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """Greedy search by whole forwards without a cache."""
    start = ids.shape[1]
    with torch.no_grad():
        for _ in range(NEW):
            ids = torch.cat([ids, model(ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    return ids[:, start:]


@pytest.mark.parametrize(("name", "attention"), HOSTS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_cache": False},
        {"cache_implementation": "static"},
        {"prompt_lookup_num_tokens": 2},
        {"num_beams": 1, "prefill_chunk_size": 3},
    ],
    ids=str,
)
def test_greedy_search_is_the_loop(name: str, attention: str, settings: dict[str, Any]) -> None:
    model, _ = attached(name, attention)
    ids = tokens(1 if "prompt_lookup_num_tokens" in settings else 2, 7)
    assert torch.equal(generated(model, ids, **settings), looped(model, ids))


@pytest.mark.parametrize(("name", "attention"), HOSTS)
def test_an_assistant_changes_nothing(name: str, attention: str) -> None:
    model, _ = attached(name, attention)
    ids = tokens(1, 7)
    assert torch.equal(generated(model, ids, assistant_model=foreign(name, attention)), looped(model, ids))


@pytest.mark.parametrize(("name", "attention"), HOSTS)
@pytest.mark.parametrize("settings", [{"num_beams": 3}, {"do_sample": True, "num_return_sequences": 3}], ids=str)
def test_beams_and_samples_are_those_without_a_cache(name: str, attention: str, settings: dict[str, Any]) -> None:
    model, memory = attached(name, attention)
    memory.read(input_ids=tokens(1, 9, seed=5)[0], document="one", namespace="other")
    found = []
    for cached in (True, False):
        torch.manual_seed(0)
        with memory.using(["", "other"]):
            found.append(generated(model, tokens(2, 7), use_cache=cached, **settings))
    assert torch.equal(*found)


@pytest.mark.parametrize(("name", "attention"), HOSTS)
@pytest.mark.parametrize("positions", ["none", "original"])
def test_a_padded_batch_gives_what_its_rows_give_alone(name: str, attention: str, positions: str) -> None:
    model, memory = attached(name, attention, positions=positions)
    memory.read(input_ids=tokens(1, 9, seed=5)[0], document="one", namespace="b")
    memory.read(input_ids=tokens(1, 5, seed=6)[0], document="one", namespace="c")
    rows, lengths, names = tokens(3, 7), (7, 3, 5), ("", "b", "c")
    mask = torch.stack([torch.arange(7) >= 7 - length for length in lengths]).long()
    with memory.using(names):
        found = generated(model, rows * mask, attention_mask=mask)
    for row, length, namespace in zip(range(3), lengths, names, strict=True):
        with memory.using(namespace):
            assert torch.equal(found[row], generated(model, rows[row : row + 1, -length:])[0])


@pytest.mark.parametrize(("name", "attention"), HOSTS)
def test_a_static_cache_has_the_citations_of_a_dynamic_one(name: str, attention: str) -> None:
    model, memory = attached(name, attention)
    rows = tokens(2, 7)
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [1] * 7])
    cited = []
    for cache in ("static", "dynamic"):
        found = generated(model, rows * mask, attention_mask=mask, cache_implementation=cache)
        cited.append(memory.citations(torch.cat([rows * mask, found], dim=1)))
    assert cited[0] == cited[1]
    assert any(token.citations for token in cited[0][0])


def test_padding_behind_the_text_changes_no_logits() -> None:
    model, memory = attached("llama", "sdpa")
    memory.read(input_ids=tokens(1, 9, seed=5)[0], document="one", namespace="b")
    rows, mask = tokens(2, 7), torch.tensor([[1] * 7, [1, 1, 1, 1, 0, 0, 0]])
    with torch.no_grad(), memory.using(["", "b"]):
        found = model(rows, attention_mask=mask).logits
    for row, length, namespace in ((0, 7, ""), (1, 4, "b")):
        with torch.no_grad(), memory.using(namespace):
            alone = model(rows[row : row + 1, :length]).logits[0]
        torch.testing.assert_close(found[row, :length], alone, rtol=0, atol=1e-12)


def test_a_pipeline_writes_with_the_memory() -> None:
    model = foreign("llama", "sdpa", vocab_size=256, pad_token_id=None, bos_token_id=None, eos_token_id=None)
    tokenizer = byte_tokenizer()
    memory = attach(model, tokenizer, layers="all")
    write = pipeline("text-generation", model=model, tokenizer=tokenizer, device="cpu")
    settings = {"max_new_tokens": 8, "do_sample": False, "return_full_text": False}
    without = write("The valve", **settings)
    memory.read(text="The red valve opens first.", document="manual")
    with_memory = write(["The valve", "It opens at"], batch_size=2, **settings)
    assert with_memory[0][0]["generated_text"] != without[0]["generated_text"]
    assert with_memory[0][0]["generated_text"] == write("The valve", **settings)[0]["generated_text"]
