from pathlib import Path

import pytest
import torch
from peft import PeftModel, PrefixTuningConfig, get_peft_model
from torch import Tensor, nn

import mnemon
from foreign import foreign
from mnemon.config import Problem
from mnemon.hosts import add_persistent, export_prefix, import_prefix, let_learn, load_host, save_host
from readers import byte_tokenizer, llama, tokens

PROMPT = "a prompt; "
ANGLES = {"rtol": 0.0, "atol": 1e-5}  # model files compute cosines in float32
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # by PEFT


def logits(model: nn.Module, ids: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("merge", ["joint", "gated"])
def test_vectors_under_a_gate_of_zero_change_no_bit(merge: str, dtype: torch.dtype) -> None:
    model, ids = llama(dtype=dtype), tokens(2, 9)
    plain = logits(model, ids)
    memory = mnemon.attach(model, layers="all", merge=merge)
    add_persistent(memory, 5)
    assert torch.equal(logits(model, ids), plain)
    mnemon.detach(model)
    assert torch.equal(logits(model, ids), plain)


def test_gates_of_vectors_learn_first_and_vectors_then() -> None:
    model, ids = llama(), tokens(2, 9)
    memory = mnemon.attach(model, layers=(1,))
    add_persistent(memory, 3)
    place = "model.layers.1.self_attn.memory_gate.persistent."
    assert set(let_learn(memory, "gates")) == {place + "keys", place + "values", place + "gate"}
    parameters, plain = dict(model.named_parameters()), model(ids, labels=ids).loss
    optimizer = torch.optim.SGD([p for p in parameters.values() if p.requires_grad], lr=10.0)
    for step in range(3):
        loss = model(ids, labels=ids).loss
        loss.backward()
        grads = {name: parameters[place + name].grad for name in ("keys", "values", "gate")}
        assert all(grad is not None for grad in grads.values())
        assert bool(grads["keys"].abs().sum() > 0) == (step > 0)
        assert bool(grads["gate"].abs().sum() > 0)
        optimizer.step()
        optimizer.zero_grad()
    assert loss < plain


@pytest.mark.parametrize("name", ["llama", "llama, yarn", "cohere", "qwen3", "smollm3", "nanochat", "phi"])
def test_vectors_of_a_text_are_the_text_before_everything(name: str) -> None:
    model = foreign(name)
    prompt, ids = torch.randint(3, 61, (1, 6)), torch.randint(3, 61, (2, 8))
    expected = logits(model, torch.cat([prompt.expand(2, -1), ids], 1))[:, 6:]
    memory = mnemon.attach(model, byte_tokenizer(), layers="all")
    memory.tokenizer = lambda text, **_: {"input_ids": prompt}  # type: ignore[assignment]
    add_persistent(memory, text="the tokens above")
    torch.testing.assert_close(logits(model, ids), expected, **ANGLES)


@pytest.mark.parametrize("merge", ["joint", "gated"])
def test_vectors_stand_beside_a_memory(merge: str) -> None:
    """The memory adds to vectors what it adds to a host that has read their text."""
    model, tokenizer = llama(), byte_tokenizer()
    prompt, ids = tokenizer(PROMPT, return_tensors="pt")["input_ids"], tokens(1, 6)
    memory = mnemon.attach(model, tokenizer, layers="all", merge=merge, gate=0.5, positions="none", top_k=64)
    memory.read(input_ids=tokens(1, 20, seed=3), document="a")
    with_text = logits(model, torch.cat([prompt, ids], 1))[:, prompt.shape[1] :]
    alone = logits(model, ids)
    memory.forget("a")
    add_persistent(memory, text=PROMPT)
    vectors = logits(model, ids)
    memory.read(input_ids=tokens(1, 20, seed=3), document="a")
    both = logits(model, ids)
    assert not torch.allclose(both, vectors)
    assert not torch.allclose(both, alone)
    assert (both - with_text).norm() < (alone - with_text).norm()


def test_a_step_at_a_time_is_one_forward() -> None:
    model, ids = llama(), tokens(2, 7)
    memory = mnemon.attach(model, byte_tokenizer(), layers="all")
    add_persistent(memory, text=PROMPT)
    whole, cache, steps = logits(model, ids), None, []
    with torch.no_grad():
        for at in range(7):
            out = model(ids[:, at : at + 1], past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            steps.append(out.logits)
    torch.testing.assert_close(torch.cat(steps, 1), whole)


@pytest.mark.parametrize("name", ["llama", "llama, yarn", "cohere"])
def test_an_exported_prefix_is_the_same_in_peft_and_back(name: str, tmp_path: Path) -> None:
    model, ids = foreign(name), torch.randint(3, 61, (2, 8))
    prompt = torch.randint(3, 61, (1, 5))
    memory = mnemon.attach(model, byte_tokenizer(), layers="all")
    memory.tokenizer = lambda text, **_: {"input_ids": prompt}  # type: ignore[assignment]
    add_persistent(memory, text="the tokens above")
    expected = logits(model, ids)
    export_prefix(memory, tmp_path / "prefix")
    mnemon.detach(model)
    adapted = PeftModel.from_pretrained(model, str(tmp_path / "prefix"))
    torch.testing.assert_close(logits(adapted, ids), expected, **ANGLES)
    again = mnemon.attach(model, layers="all")
    import_prefix(again, tmp_path / "prefix")
    torch.testing.assert_close(logits(model, ids), expected, **ANGLES)
    export_prefix(again, tmp_path / "again")
    first, second = (
        mnemon.hosts.prefix.load_file(tmp_path / name / "adapter_model.safetensors")["prompt_embeddings"]
        for name in ("prefix", "again")
    )
    torch.testing.assert_close(first, second, **ANGLES)


def test_a_prefix_that_peft_made_is_taken_over(tmp_path: Path) -> None:
    model, ids = llama(), tokens(2, 8)
    adapted = get_peft_model(model, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    adapted.prompt_encoder.double()
    expected = logits(adapted.eval(), ids)
    adapted.save_pretrained(tmp_path)
    memory = mnemon.attach(llama(), layers="all")
    import_prefix(memory, tmp_path)
    torch.testing.assert_close(logits(memory.model, ids), expected, **ANGLES)


def test_vectors_are_kept_with_the_host(tmp_path: Path) -> None:
    memory, ids = mnemon.attach(llama(dtype=torch.float32), byte_tokenizer(), layers=(0, 2)), tokens(1, 8)
    add_persistent(memory, 3)
    for parameter in memory.model.parameters():
        parameter.data += 0.01
    save_host(memory, tmp_path)
    loaded = load_host(tmp_path)
    assert torch.equal(logits(loaded.model, ids), logits(memory.model, ids))


def test_what_has_no_form_in_peft_is_said(tmp_path: Path) -> None:
    memory = mnemon.attach(llama(), byte_tokenizer(), layers="all")
    with pytest.raises(Problem, match="no persistent vectors to export"):
        export_prefix(memory, tmp_path)
    add_persistent(memory, 2)
    with pytest.raises(Problem, match="no gate on a prefix"):
        export_prefix(memory, tmp_path)
    few = mnemon.attach(llama(), byte_tokenizer())
    add_persistent(few, text=PROMPT)
    with pytest.raises(Problem, match="in each of 3 layers, and 1 have a memory"):
        export_prefix(few, tmp_path)
    placed = mnemon.attach(foreign("gpt2"), layers="all")
    add_persistent(placed, 2)
    with pytest.raises(Problem, match="positions are in its hidden states"):
        export_prefix(placed, tmp_path)
    assert not list(tmp_path.iterdir())
    get_peft_model(llama(), PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)).save_pretrained(tmp_path)
    with pytest.raises(Problem, match="not a prefix of 3 layers with 2 key/value heads of width 6"):
        import_prefix(mnemon.attach(foreign("olmo"), layers="all"), tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(Problem, match="of kind LORA, not a prefix"):
        import_prefix(memory, tmp_path)


def test_what_is_missing_is_said() -> None:
    memory = mnemon.attach(llama())
    for given in ({}, {"size": 2, "text": PROMPT}):
        with pytest.raises(Problem, match="the number of vectors, or a text"):
            add_persistent(memory, **given)
    with pytest.raises(Problem, match="at least 1"):
        add_persistent(memory, 0)
    with pytest.raises(Problem, match="needs a tokenizer"):
        add_persistent(memory, text=PROMPT)
    memory.tokenizer = byte_tokenizer()
    with pytest.raises(Problem, match="no token"):
        add_persistent(memory, text="")
