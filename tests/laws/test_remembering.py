"""What is done with a memory, over families that differ in more than names."""

from pathlib import Path

import pytest
import torch

from foreign import ATTENDED, foreign, tokens
from mnemon.hosts import Memory, attach, detach

NAMES = (
    "gemma2, mixed",
    "gemma3, images",
    "glm",
    "gpt2",
    "gpt_oss, mixed",
    "granitemoehybrid, hybrid",
    "jetmoe",
    "lfm2, hybrid",
    "llama, yarn",
    "modernbert-decoder, mixed",
    "opt",
    "phi3, longrope",
    "qwen3_5, hybrid",
    "smollm3",
)
HOSTS = [(name, "sdpa" if (name, "sdpa") in ATTENDED else "eager") for name in NAMES]
every_host = pytest.mark.parametrize(("name", "attention"), HOSTS)


@every_host
def test_a_memory_from_disk_is_the_one_that_was_saved(name: str, attention: str, tmp_path: Path) -> None:
    model, ids = foreign(name, attention), tokens(2, 7)
    memory = attach(model, layers="all", top_k=4)
    memory.read(input_ids=tokens(1, 13, seed=3)[0], document="one")
    with torch.no_grad():
        before = model(ids).logits
        memory.save(tmp_path / "it.mem")
        detach(model)
        Memory.load(tmp_path / "it.mem", model, top_k=4)
        assert torch.equal(model(ids).logits, before)


@every_host
def test_a_padded_row_is_written_on_and_cited_as_if_it_were_alone(name: str, attention: str) -> None:
    model = foreign(name, attention, torch.float32)  # eager masks of float64 are infinite in its softmax
    memory = attach(model, layers="all", top_k=4)
    memory.read(input_ids=tokens(1, 13, seed=3)[0], document="one")
    ids, mask = tokens(2, 7), torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1] * 7])
    settings = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    together = model.generate(ids * mask, attention_mask=mask, **settings)
    cited = memory.citations(together)[0]
    alone = model.generate(ids[:1, 2:], attention_mask=mask[:1, 2:], **settings)
    assert torch.equal(together[0, 2:], alone[0])
    for one, other in zip(cited, memory.citations(alone)[0], strict=True):
        (first, *_), (second, *_) = one.citations, other.citations
        assert first.text == second.text
        assert first.weight == pytest.approx(second.weight, abs=1e-4)


@every_host
@pytest.mark.parametrize("merge", ["joint", "gated"])
def test_what_heads_learn_of_a_memory_gets_gradients(name: str, attention: str, merge: str) -> None:
    model, ids = foreign(name, attention), tokens(2, 7)
    memory = attach(model, layers="all", top_k=4, merge=merge, age=True)
    memory.read(input_ids=tokens(1, 13, seed=3)[0], document="one")
    model(ids, labels=ids).loss.backward()
    learned = {path: p for path, p in model.named_parameters() if "memory_gate" in path}
    assert len(learned) == len(memory.layers) * (2 if merge == "gated" else 1)
    for parameter in learned.values():
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())
        assert bool(parameter.grad.any())
