import pytest
import torch
from peft import LoraConfig, get_peft_model

import mnemon
from foreign import foreign
from mnemon.hosts import attention
from readers import GROUPS, HEADS, llama, tokens

WHOLE = {"segment": 9, "overlap": 0, "top_k": 1000, "size": 1000, "sees": "memory", "positions": "original"}


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_memory_of_the_whole_past_is_the_context(implementation: str) -> None:
    model, ids = llama(implementation), tokens(1, 40)
    whole = model(ids).logits[:, 27:]
    memory = mnemon.attach(model, layers="all", **WHOLE)
    assert memory.read(input_ids=ids[:, :27], document="past") == len(memory) == 27
    torch.testing.assert_close(model(ids[:, 27:]).logits, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("positions", ["none", "first", "clamped", "original"])
@pytest.mark.parametrize("merge", ["joint", "gated"])
def test_steps_with_a_cache_equal_one_forward(positions: str, merge: str) -> None:
    model, ids = llama(), tokens(2, 11)
    memory = mnemon.attach(model, layers=(1, 2), positions=positions, merge=merge, clamp=5, top_k=4, age=True)
    memory.read(input_ids=tokens(30, seed=1), document="a")
    for layer in memory.layers:
        torch.nn.init.normal_(model.model.layers[layer].self_attn.memory_gate.slope)
    whole, past, steps = model(ids).logits, None, []
    for part in ids.split([4, 1, 1, 3, 1, 1], dim=1):
        out = model(part, past_key_values=past, use_cache=True)
        past = out.past_key_values
        steps.append(out.logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, atol=1e-6, rtol=0)


def test_heads_search_their_group_and_merge_by_their_own_log_sum_exp(monkeypatch: pytest.MonkeyPatch) -> None:
    """One layer by loops: softmax over the segment's causal keys and the head's three best entries."""
    model, ids = llama(), tokens(1, 5)
    memory = mnemon.attach(model, layers=(0,), top_k=3, positions="none")
    memory.read(input_ids=tokens(17, seed=1), document="a")
    (document,) = memory.documents
    caught = {}
    answer = attention._merged
    monkeypatch.setattr(
        attention, "_merged", lambda *args: caught.setdefault("o", (args[2], args[3], answer(*args)))[2]
    )
    model(ids)
    host, raw, got = caught["o"]
    for head in range(HEADS):
        group = head // (HEADS // GROUPS)
        for t in range(5):
            content = document.keys[0][group] @ raw[0, head, t]
            best = content.argsort(descending=True)[:3]
            own = host.key[0, group, : t + 1] @ host.query[0, head, t]
            scores = torch.cat([own, content[best]]) * host.settings["scaling"]
            values = torch.cat([host.value[0, group, : t + 1], document.values[0][group][best]])
            torch.testing.assert_close(got[0, t, head], scores.softmax(0) @ values)


def test_gradients_of_gate_slope_and_weights_are_those_of_finite_differences() -> None:
    model, ids = foreign("gpt_neox", "sdpa"), tokens(2, 5) % 61  # its norms stay in float64
    memory = mnemon.attach(model, layers=(1,), merge="gated", age=True, top_k=4)
    memory.read(input_ids=tokens(30, seed=1) % 61, document="a")
    gate = model.gpt_neox.layers[1].attention.memory_gate.double()
    torch.nn.init.normal_(gate.slope)
    weight = model.gpt_neox.layers[1].attention.query_key_value.weight

    def loss() -> torch.Tensor:
        return model(ids).logits.sin().mean()

    for leaf in (gate.bias, gate.slope, weight):
        (got,) = torch.autograd.grad(loss(), leaf)
        direction = torch.randn_like(leaf)
        with torch.no_grad():
            ends = []
            for step in (1e-6, -1e-6):
                leaf += step * direction
                ends.append(loss())
                leaf -= step * direction
        torch.testing.assert_close((got * direction).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-4, atol=1e-9)


def test_the_gate_is_in_the_graph_of_an_empty_memory() -> None:
    model = llama()
    mnemon.attach(model, layers=(1,), merge="gated", age=True)
    model(tokens(1, 5)).logits.sum().backward()
    assert all(bool((p.grad == 0).all()) for p in model.model.layers[1].self_attn.memory_gate.parameters())


def test_another_attention_chosen_later_is_followed() -> None:
    model, ids = llama(), tokens(2, 9)
    mnemon.attach(model)
    model.set_attn_implementation("eager")
    assert torch.equal(model(ids).logits, llama("eager")(ids).logits)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks for it
def test_a_gate_that_an_adapter_trains_is_the_one_that_counts() -> None:
    model, ids = llama(dtype=torch.float32), tokens(1, 5)
    memory = mnemon.attach(model, layers=(1,), merge="gated", top_k=4)
    memory.read(input_ids=tokens(30, seed=1), document="a")
    adapted = get_peft_model(model, LoraConfig(target_modules=["q_proj"], modules_to_save=["memory_gate"]))
    before = adapted(ids).logits
    trained = {name: p for name, p in adapted.named_parameters() if p.requires_grad and "memory_gate" in name}
    assert len(trained) == 1
    with torch.no_grad():
        for p in trained.values():
            p += 3.0
    assert not torch.allclose(adapted(ids).logits, before)
