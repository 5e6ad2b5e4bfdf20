"""Small models of every family that can be given a memory, with random weights, made from transformers' own classes."""

import warnings
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

VOCABULARY, LAYERS, HEADS, GROUPS, DIM, HEAD_DIM = 61, 3, 4, 2, 24, 8

# What a configuration calls its sizes differs; each takes those names that it knows.
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": DIM,
    "n_embd": DIM,
    "num_hidden_layers": LAYERS,
    "n_layer": LAYERS,
    "num_attention_heads": HEADS,
    "n_head": HEADS,
    "num_key_value_heads": GROUPS,
    "head_dim": HEAD_DIM,
    "intermediate_size": 24,
    "ffn_dim": 24,
    "n_inner": 24,
    "moe_intermediate_size": 12,
    "shared_expert_intermediate_size": 12,
    "num_experts": 3,
    "num_local_experts": 3,
    "n_routed_experts": 3,
    "num_experts_per_tok": 2,
    "word_embed_proj_dim": DIM,
    "max_position_embeddings": 96,
    "n_positions": 96,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "sliding_window": None,
}
FULL, SLIDING = "full_attention", "sliding_attention"
MIXED = {"sliding_window": 5, "layer_types": [FULL, SLIDING, FULL]}
ALL_FULL = {"layer_types": [FULL] * LAYERS, "sliding_window": 5}
WIDE = {"hidden_size": 64}  # where a quarter of a head rotates
# The second layer is no attention: it carries a state.
HYBRID = {"layer_types": [FULL, "linear_attention", FULL]}
DELTA = {
    **HYBRID,
    "linear_conv_kernel_dim": 3,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
MAMBA = {
    "layer_types": ["attention", "mamba", "attention"],
    "mamba_n_heads": 4,
    "mamba_d_head": 12,
    "mamba_d_state": 8,
    "mamba_chunk_size": 8,
    "shared_intermediate_size": 16,
    "position_embedding_type": "rope",
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 100.0,
    "short_factor": [1.0, 1.1, 1.2],
    "long_factor": [2.0, 3.0, 4.0],
    "original_max_position_embeddings": 8,
}
IMAGES = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "image_size": 28,
    "patch_size": 14,
}
YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 24}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 24,
}

# name -> model type, and what its configuration needs beside `SIZES`
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "afmoe, mixed": ("afmoe", MIXED),
    "apertus": ("apertus", {}),
    "arcee": ("arcee", {}),
    "aria_text": ("aria_text", {"moe_num_experts": 3, "moe_topk": 2, "moe_num_shared_experts": 1}),
    "biogpt": ("biogpt", {}),
    "bitnet": ("bitnet", {}),
    "cohere": ("cohere", {}),
    "cohere2, mixed": ("cohere2", MIXED),
    "cwm, mixed": ("cwm", MIXED),
    "dots1": ("dots1", {**ALL_FULL, "first_k_dense_replace": 1, "n_shared_experts": 1, "n_group": 1, "topk_group": 1}),
    "ernie4_5": ("ernie4_5", {}),
    "ernie4_5_moe": ("ernie4_5_moe", {"moe_num_experts": 3, "moe_k": 2}),
    "exaone4": ("exaone4", {"layer_types": [FULL] * LAYERS}),
    "exaone4, mixed": ("exaone4", MIXED),
    "exaone_moe, mixed": ("exaone_moe", {**MIXED, "n_group": 1, "topk_group": 1}),
    "flex_olmo": ("flex_olmo", {}),
    "gemma": ("gemma", {}),
    "gemma2": ("gemma2", {**ALL_FULL, "attn_logit_softcapping": 3.0}),
    "gemma2, mixed": ("gemma2", {**MIXED, "attn_logit_softcapping": 3.0}),
    "gemma3": ("gemma3_text", ALL_FULL),
    "gemma3, images": ("gemma3", {"text_config": SIZES | MIXED, "vision_config": IMAGES, "mm_tokens_per_image": 4}),
    "gemma3, mixed": ("gemma3_text", MIXED),
    "glm": ("glm", {}),
    "glm4": ("glm4", {}),
    "glm4_moe": ("glm4_moe", {"n_group": 1, "topk_group": 1}),
    "gpt2": ("gpt2", {}),
    "gpt_bigcode": ("gpt_bigcode", {}),
    "gpt_neox": ("gpt_neox", WIDE),
    "gpt_oss": ("gpt_oss", ALL_FULL),
    "gpt_oss, mixed": ("gpt_oss", MIXED),
    "granite": ("granite", {"attention_multiplier": 0.2}),
    "granite_swa, mixed": ("granite_swa", MIXED),
    "granitemoe": ("granitemoe", {}),
    "granitemoe_swa, mixed": ("granitemoe_swa", MIXED),
    "granitemoehybrid, hybrid": ("granitemoehybrid", MAMBA),
    "granitemoeshared": ("granitemoeshared", {}),
    "helium": ("helium", {"hidden_size": HEADS * HEAD_DIM}),
    "hy_v3": ("hy_v3", {}),
    "hyperclovax": ("hyperclovax", {}),
    "jais2": ("jais2", {}),
    "jetmoe": ("jetmoe", {"kv_channels": 6}),
    "kolibri1, mixed": ("kolibri1", MIXED),
    "laguna, mixed": ("laguna", MIXED),
    "lfm2, hybrid": ("lfm2", {"layer_types": [FULL, "conv", FULL], "block_multiple_of": 8}),
    "llama": ("llama", {}),
    "llama, llama3": ("llama", {"rope_parameters": LLAMA3}),
    "llama, yarn": ("llama", {"rope_parameters": YARN}),
    "mellum, mixed": ("mellum", MIXED),
    "minimax_m2": ("minimax_m2", {}),
    "ministral, mixed": ("ministral", MIXED),
    "ministral3": ("ministral3", {}),
    "mistral": ("mistral", {}),
    "mixtral": ("mixtral", {}),
    "modernbert-decoder, mixed": ("modernbert-decoder", MIXED),
    "nanochat": ("nanochat", {}),
    "nemotron": ("nemotron", {}),
    "olmo": ("olmo", {}),
    "olmo2": ("olmo2", {}),
    "olmo3, mixed": ("olmo3", MIXED),
    "olmo_hybrid, hybrid": ("olmo_hybrid", DELTA),
    "olmoe": ("olmoe", {}),
    "opt": ("opt", {}),
    "persimmon": ("persimmon", WIDE),
    "phi": ("phi", WIDE),
    "phi3": ("phi3", {}),
    "phi3, longrope": ("phi3", {"rope_parameters": LONGROPE}),
    "phimoe": ("phimoe", {}),
    "qwen2": ("qwen2", {}),
    "qwen2, mixed": ("qwen2", {**MIXED, "use_sliding_window": True}),
    "qwen2_moe": ("qwen2_moe", {}),
    "qwen3": ("qwen3", {}),
    "qwen3, yarn": ("qwen3", {"rope_parameters": YARN}),
    "qwen3_5, hybrid": ("qwen3_5_text", {**DELTA, "hidden_size": 64, "head_dim": 16}),
    "qwen3_moe": ("qwen3_moe", {}),
    "qwen3_next, hybrid": ("qwen3_next", {**DELTA, "hidden_size": 64, "head_dim": 16}),
    "seed_oss": ("seed_oss", {}),
    "smollm3": ("smollm3", {"no_rope_layers": [1, 0, 1]}),
    "solar_open": ("solar_open", {}),
    "stablelm": ("stablelm", WIDE),
    "starcoder2": ("starcoder2", {}),
    "vaultgemma": ("vaultgemma", ALL_FULL),
}

EAGER_ONLY = (
    "gemma2",
    "gpt_oss",
    "granite_swa",
    "granitemoe_swa",
    "vaultgemma",
)  # model types that refuse PyTorch's fused attention
ATTENDED = [
    (name, attention)
    for name, (kind, _) in FAMILIES.items()
    for attention in (("eager",) if kind in EAGER_ONLY else ("eager", "sdpa"))
]
PARTLY_FLOAT32 = (
    "afmoe",
    "dots1",
    "exaone_moe",
    "glm4_moe",
    "granitemoehybrid",
    "hy_v3",
    "kolibri1",
    "laguna",
    "minimax_m2",
    "olmo_hybrid",
    "qwen3_5_text",
    "qwen3_next",
)


def exact(name: str, attention: str) -> bool:
    """Whether a host of float64 computes everything but its angles in float64; eager attention has another softmax."""
    return attention == "sdpa" and FAMILIES[name][0] not in PARTLY_FLOAT32


def foreign(name: str, attention: str = "eager", dtype: torch.dtype = torch.float64, **changes: Any) -> PreTrainedModel:
    """A family's small model in evaluation mode, always the same; `changes` are settings of its configuration."""
    kind, settings = FAMILIES[name]
    return random_model(kind, attention, dtype, **{**settings, **changes})


def random_model(kind: str, attention: str, dtype: torch.dtype, **settings: Any) -> PreTrainedModel:
    """A small model of any type, with weights that tell positions, heads and channels apart."""
    made = CONFIG_MAPPING[kind]
    known = made().to_dict()
    config = made(**{**{name: size for name, size in SIZES.items() if name in known}, **settings})
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # about roles of our odd sizes
        torch.manual_seed(0)
        # Grouped matrix products have no float64.
        model = AutoModelForCausalLM.from_config(
            config, attn_implementation=attention, experts_implementation="eager", dtype=dtype
        ).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.ndim > 1:
                parameter.copy_(drawn / parameter.shape[-1] ** 0.5)
            else:
                parameter.add_(0.2 * drawn)
    return model


def tokens(rows: int, length: int, seed: int = 2) -> torch.Tensor:
    """Random tokens, none of them special."""
    return torch.randint(3, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))
