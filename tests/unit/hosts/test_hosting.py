"""What users do to a model goes on working while it has a memory."""

import copy
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch._dynamo.exc import Unsupported
from transformers import AutoModelForCausalLM, PreTrainedModel

from foreign import foreign, tokens
from mnemon.hosts import Memory, attach, detach

HOSTS = [("llama", "sdpa"), ("gemma2", "eager"), ("gpt2", "sdpa")]


def attached(
    name: str, attention: str, dtype: torch.dtype = torch.float64, **settings: Any
) -> tuple[PreTrainedModel, Memory]:
    """A host that remembers a document in all layers."""
    model = foreign(name, attention, dtype)
    memory = attach(model, **{"layers": "all", "top_k": 4, **settings})
    memory.read(input_ids=tokens(1, 13, seed=3)[0], document="one")
    return model, memory


def logits(model: PreTrainedModel, ids: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(ids).logits
    return found


def gradients(model: PreTrainedModel, ids: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    torch.manual_seed(0)  # of dropout
    model(ids, labels=ids).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("name", "attention"), HOSTS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_the_same_weights_in_float32(name: str, attention: str, dtype: torch.dtype) -> None:
    model, _ = attached(name, attention, dtype)
    ids = tokens(2, 7)
    found = logits(model, ids)
    plain = foreign(name, attention, dtype).float()
    memory = attach(plain, layers="all", top_k=4)
    memory.read(input_ids=tokens(1, 13, seed=3)[0], document="one")
    assert found.dtype == dtype
    assert float((found.float() - logits(plain, ids)).abs().max()) < 120 * torch.finfo(dtype).eps


@pytest.mark.parametrize(("name", "attention"), HOSTS)
@pytest.mark.parametrize("merge", ["joint", "gated"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_leaves_gradients_as_they_are(name: str, attention: str, merge: str, reentrant: bool) -> None:
    model, _ = attached(name, attention, merge=merge, age=True)
    ids = tokens(2, 7)
    model.train()
    expected = gradients(model, ids)
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    found = gradients(model, ids)
    assert found.keys() == expected.keys()
    assert any("memory_gate" in each for each in found)
    for each in found:
        torch.testing.assert_close(found[each], expected[each], rtol=0, atol=1e-12)


def test_another_attention_implementation_is_taken_up() -> None:
    model, _ = attached("llama", "sdpa")
    ids = tokens(2, 7)
    model.set_attn_implementation("eager")
    other, _ = attached("llama", "eager")
    torch.testing.assert_close(logits(model, ids), logits(other, ids), rtol=0, atol=1e-5)
    detach(model)
    assert model.config._attn_implementation == "eager"
    assert torch.equal(logits(model, ids), logits(foreign("llama", "eager"), ids))


@pytest.mark.parametrize(("name", "attention"), HOSTS)
def test_a_copy_has_a_memory_of_its_own(name: str, attention: str) -> None:
    model, memory = attached(name, attention, positions="original")
    ids = tokens(2, 7)
    before = logits(model, ids)
    twin = copy.deepcopy(model)
    assert torch.equal(logits(twin, ids), before)
    memory.forget("one")
    assert torch.equal(logits(twin, ids), before)
    detach(twin)
    assert torch.equal(logits(twin, ids), logits(foreign(name, attention), ids))
    assert torch.equal(logits(model, ids), logits(foreign(name, attention), ids))


@pytest.mark.parametrize(("name", "attention"), HOSTS)
def test_a_model_with_a_memory_can_be_pickled(name: str, attention: str) -> None:
    model, _ = attached(name, attention, positions="original")
    ids = tokens(2, 7)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert torch.equal(logits(again, ids), logits(model, ids))


@pytest.mark.parametrize(("name", "attention"), HOSTS)
def test_a_saved_host_loads_without_a_memory(name: str, attention: str, tmp_path: Path) -> None:
    model, _ = attached(name, attention)
    ids = tokens(2, 7)
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation=attention, dtype=torch.float64)
    torch.testing.assert_close(logits(again, ids), logits(foreign(name, attention), ids), rtol=0, atol=1e-12)
    assert "mnemon" not in (tmp_path / "config.json").read_text()


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # said by PEFT
@pytest.mark.parametrize(("name", "attention"), HOSTS)
def test_adapters_learn_on_a_host_with_a_memory(name: str, attention: str) -> None:
    model, memory = attached(name, attention, merge="gated")
    ids = tokens(2, 7)
    before = logits(model, ids)
    target = {"target_modules": ["c_attn"], "fan_in_fan_out": True}
    if name != "gpt2":
        target = {"target_modules": ["q_proj", "v_proj"]}
    adapted = get_peft_model(model, LoraConfig(**target, modules_to_save=["memory_gate"], r=2))
    assert torch.equal(logits(adapted, ids), before)
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.1)
    loss = adapted(ids, labels=ids).loss
    loss.backward()
    learned = [n for n, p in adapted.named_parameters() if p.grad is not None and bool(p.grad.any())]
    assert any("lora" in each for each in learned)
    assert any("memory_gate" in each for each in learned)
    optimizer.step()
    memory.read(input_ids=tokens(1, 5, seed=6)[0], document="two")
    assert float(adapted(ids, labels=ids).loss.detach()) < float(loss.detach())


def test_a_compiled_host_computes_the_same(unchecked: None) -> None:
    model, memory = attached("llama", "sdpa", layers=[1])
    ids = tokens(2, 7)
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(logits(compiled, ids), logits(model, ids), rtol=0, atol=1e-12)
    memory.forget("one")
    torch.testing.assert_close(logits(compiled, ids), logits(foreign("llama", "sdpa"), ids), rtol=0, atol=1e-12)
    torch.compiler.reset()
    with pytest.raises(Unsupported, match="leave out fullgraph=True"):
        logits(torch.compile(model, backend="eager", fullgraph=True), ids)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # said by PEFT
def test_a_host_with_an_adapter_gets_a_memory() -> None:
    adapted = get_peft_model(foreign("llama", "sdpa"), LoraConfig(target_modules=["q_proj"], r=2))
    ids = tokens(2, 7)
    before = logits(adapted, ids)
    memory = attach(adapted.get_base_model(), layers="all")
    assert torch.equal(logits(adapted, ids), before)
    memory.read(input_ids=ids[0], document="one")
    assert not torch.equal(logits(adapted, ids), before)
    out = adapted.generate(input_ids=ids, max_new_tokens=2, do_sample=False, pad_token_id=0)
    assert memory.citations(out)[0][0].citations
    detach(adapted.get_base_model())
    assert torch.equal(logits(adapted, ids), before)


def test_what_is_read_in_inference_mode_serves_outside_of_it() -> None:
    ids = tokens(2, 7)
    model = foreign("llama", "sdpa")
    memory = attach(model, layers="all", positions="original", normalise=True)
    with torch.inference_mode():
        memory.read(input_ids=ids[0], document="one")
        inside = model(ids).logits
    assert torch.equal(logits(model, ids), inside)
    model(ids, labels=ids).loss.backward()
    memory.read(input_ids=ids[1], document="two")
    assert not torch.equal(logits(model, ids), inside)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_texts_packed_into_a_row_each_see_the_memory(attention: str) -> None:
    model, _ = attached("llama", attention)
    ids, places = tokens(1, 7), torch.tensor([[0, 1, 2, 3, 0, 1, 2]])
    with torch.no_grad():
        packed = model(ids, position_ids=places, use_cache=False).logits[:, 4:]
    torch.testing.assert_close(packed, logits(model, ids[:, 4:]), rtol=0, atol=1e-12 if attention == "sdpa" else 1e-5)


def test_numbers_of_another_type_are_taken_up() -> None:
    model, memory = attached("llama", "sdpa", torch.float32)
    ids = tokens(2, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(ids, labels=ids).loss.backward()
        memory.read(input_ids=ids[0], document="two")
    model.to(torch.bfloat16)
    assert logits(model, ids).dtype == torch.bfloat16
