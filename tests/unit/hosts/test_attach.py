import copy

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM, Qwen3Config, Qwen3ForCausalLM

import mnemon
from mnemon.config import Problem
from readers import llama, tokens


def mixed() -> Qwen3ForCausalLM:
    """Layers 1 and 2 of four have a sliding window."""
    kinds = ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1}
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=31,
            head_dim=8,
            num_hidden_layers=4,
            layer_types=kinds,
            use_sliding_window=True,
            sliding_window=4,
            **sizes,
        )
    )


def test_attach_and_detach_leave_logits_weights_and_hooks_as_they_were() -> None:
    model, ids = llama(), tokens(2, 9)
    before, names, config = model(ids).logits, list(model.state_dict()), copy.deepcopy(model.config.to_dict())
    memory = mnemon.attach(model, layers="all", merge="gated", age=True)
    assert torch.equal(model(ids).logits, before)
    memory.read(input_ids=tokens(1, 40, seed=1), document="a")
    assert not torch.equal(model(ids).logits, before)
    mnemon.detach(model)
    assert torch.equal(model(ids).logits, before)
    assert list(model.state_dict()) == names
    assert model.config.to_dict() == config
    assert not any(module._forward_pre_hooks for module in model.modules())
    attention = model.model.layers[0].self_attn
    assert attention.config is model.config
    assert "memory_seam" not in vars(attention)


def test_gates_are_the_only_new_weights_and_start_where_they_are_told() -> None:
    model = llama()
    before = set(model.state_dict())
    mnemon.attach(model, layers=(2,), merge="gated", gate=0.25, age=True)
    fresh = set(model.state_dict()) - before
    place = "model.layers.2.self_attn.memory_gate."
    assert fresh == {place + "bias", place + "slope"}
    torch.testing.assert_close(model.state_dict()[place + "bias"].sigmoid(), torch.full((4,), 0.25))
    mnemon.detach(model)
    mnemon.attach(model)
    assert set(model.state_dict()) == before


@pytest.mark.parametrize(("said", "layers"), [("auto", (1,)), ("all", (0, 1, 2)), ((2, 0), (0, 2))])
def test_layers_are_those_asked_for(said: object, layers: tuple[int, ...]) -> None:
    assert mnemon.attach(llama(), layers=said).layers == layers


@pytest.mark.parametrize(("said", "layers"), [("auto", (3,)), ("all", (0, 3))])
def test_layers_with_a_sliding_window_get_no_memory(said: object, layers: tuple[int, ...]) -> None:
    assert mnemon.attach(mixed(), layers=said).layers == layers


def test_a_layer_with_a_sliding_window_cannot_be_chosen() -> None:
    with pytest.raises(Problem, match=r"layer 2 has a sliding window.*\[0, 3\]"):
        mnemon.attach(mixed(), layers=(2,))
    config = MistralConfig(
        vocab_size=31, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=4,
    )  # fmt: skip
    with pytest.raises(Problem, match="every layer"):
        mnemon.attach(MistralForCausalLM(config))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"layer": "all"}, "unknown key .did you mean 'layers'"),
        ({"layers": (7,)}, "layer 7 is none with attention: choose among \\[0, 1, 2\\]"),
        ({"segment": 8, "overlap": 8}, "overlap of 8"),
        ({"size": 8}, "smaller than top_k = 32"),
        ({"index": "exakt"}, "did you mean 'exact'"),
        ({"merge": "sum"}, "merge"),
    ],
)
def test_bad_settings_are_said(settings: dict[str, object], said: str) -> None:
    with pytest.raises(Problem, match=said):
        mnemon.attach(llama(), **settings)


def test_a_model_has_one_memory_at_a_time() -> None:
    model = llama()
    with pytest.raises(Problem, match="no memory to detach"):
        mnemon.detach(model)
    mnemon.attach(model)
    with pytest.raises(Problem, match="a memory already"):
        mnemon.attach(model)
