import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    CodeGenConfig,
    CodeGenForCausalLM,
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    DiffLlamaConfig,
    DiffLlamaForCausalLM,
    FalconConfig,
    FalconForCausalLM,
    GPTJConfig,
    GPTJForCausalLM,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    HunYuanDenseV1Config,
    HunYuanDenseV1ForCausalLM,
    Llama4ForCausalLM,
    Llama4TextConfig,
    MptConfig,
    MptForCausalLM,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import AttentionInterface

import foreign as small
from foreign import VOCABULARY, foreign, tokens
from mnemon.config import Problem
from mnemon.hosts.support import FAMILIES, attentions, family, window


def test_every_row_is_held_to_the_laws() -> None:
    assert {kind for kind, _ in small.FAMILIES.values()} == set(FAMILIES)


@pytest.mark.parametrize("name", small.FAMILIES)
def test_the_attention_of_every_layer_is_found(name: str) -> None:
    model = foreign(name)
    assert family(model) is FAMILIES[model.config.model_type]
    found = attentions(model)
    expected = [0, 2] if name.endswith("hybrid") else [0, 1, 2]
    assert list(found) == expected
    assert len(set(found.values())) == len(expected)


@pytest.mark.parametrize("name", small.FAMILIES)
def test_layers_with_a_window_are_those_that_mask_what_is_older(name: str) -> None:
    model = foreign(name)
    masked: dict[nn.Module, bool] = {}

    def spy(module: nn.Module, q: Tensor, k: Tensor, v: Tensor, attention_mask: Any, **kwargs: Any) -> Any:
        masked[module] = attention_mask is not None and not bool(attention_mask[0, 0, -1, 0] == 0)
        return sdpa_attention_forward(module, q, k, v, attention_mask, scaling=kwargs["scaling"])

    AttentionInterface.register("spy", spy)
    for attention in attentions(model).values():
        attention.config = copy.copy(attention.config)
        attention.config._attn_implementation_internal = "spy"  # type: ignore[union-attr]
    with torch.no_grad():
        model(tokens(1, 9))
    for number, attention in attentions(model).items():
        expected = 5 if name.endswith(("mixed", "images")) and number == 1 else None
        assert window(attention) == expected
        assert masked[attention] == (expected is not None)


def test_a_host_may_have_windows_in_all_layers() -> None:
    model = foreign("mistral", sliding_window=5)
    assert [window(attention) for attention in attentions(model).values()] == [5, 5, 5]


REGISTRY = "its attention never asks transformers' attention registry"
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
OTHER = {"vocab_size": VOCABULARY, "n_embd": 16, "n_head": 2, "n_layer": 1, "n_positions": 32}
GLOBAL: Any = [[["global"], 1]]
REFUSALS: dict[str, tuple[Any, Any, str]] = {
    "falcon": (FalconForCausalLM, FalconConfig(**SIZES), REGISTRY),
    "gptj": (GPTJForCausalLM, GPTJConfig(**OTHER, rotary_dim=4), REGISTRY),
    "codegen": (CodeGenForCausalLM, CodeGenConfig(**{**OTHER, "n_head": 4}, rotary_dim=4), REGISTRY),
    "bloom": (BloomForCausalLM, BloomConfig(vocab_size=VOCABULARY, hidden_size=16, n_head=2, n_layer=1), REGISTRY),
    "mpt": (MptForCausalLM, MptConfig(vocab_size=VOCABULARY, d_model=16, n_heads=2, n_layers=1), REGISTRY),
    "gpt_neo": (
        GPTNeoForCausalLM,
        GPTNeoConfig(vocab_size=VOCABULARY, hidden_size=16, num_heads=2, num_layers=1, attention_types=GLOBAL),
        REGISTRY,
    ),
    "t5": (
        T5ForConditionalGeneration,
        T5Config(vocab_size=VOCABULARY, d_model=16, d_kv=8, d_ff=16, num_heads=2, num_layers=1),
        "it has an encoder",
    ),
    "hunyuan_v1_dense": (
        HunYuanDenseV1ForCausalLM,
        HunYuanDenseV1Config(**SIZES, head_dim=8, intermediate_size=16, pad_token_id=0, eos_token_id=1, bos_token_id=2),
        "after they are rotated",
    ),
    "diffllama": (
        DiffLlamaForCausalLM,
        DiffLlamaConfig(**SIZES, intermediate_size=16),
        "calls attention twice",
    ),
    "deepseek_v3": (
        DeepseekV3ForCausalLM,
        DeepseekV3Config(**SIZES, num_key_value_heads=2, kv_lora_rank=8, q_lora_rank=8, qk_rope_head_dim=4,
                         qk_nope_head_dim=4, v_head_dim=8, intermediate_size=16, first_k_dense_replace=1),
        "differ in width",
    ),
    "llama4_text": (
        Llama4ForCausalLM,
        Llama4TextConfig(**SIZES, num_key_value_heads=2, head_dim=8, intermediate_size=16, intermediate_size_mlp=16,
                         num_local_experts=2, pad_token_id=0, bos_token_id=1, eos_token_id=2),
        "nobody has checked it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("setting", ["add_cross_attention", "reorder_and_upcast_attn"])
def test_settings_that_go_round_the_registry_are_refused_by_name(setting: str) -> None:
    with pytest.raises(Problem, match=setting):
        family(foreign("gpt2", **{setting: True}))


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_type_that_cannot_have_a_memory_is_refused_by_name(kind: str) -> None:
    make, config, reason = REFUSALS[kind]
    model: PreTrainedModel = make(config)
    with pytest.raises(Problem, match=f"a model of type '{kind}' cannot be given a memory: .*{reason}") as refused:
        family(model)
    assert "\n" not in str(refused.value)
