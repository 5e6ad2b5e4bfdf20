from typing import Literal

import torch
from torch import nn

from mnemon.config import Problem
from mnemon.hosts.fingerprint import OWN
from mnemon.hosts.lora import MARK, LoraConfig, add_lora
from mnemon.hosts.memory import Memory
from mnemon.hosts.support import attentions

Learns = Literal["gates", "queries", "lora", "all"]
NORMS = ("q_norm", "q_layernorm", "query_layernorm")  # what some families do to queries alone
HELD = ("e_score_correction_bias", "expert_bias")  # how busy experts are: counted, without a gradient


def let_learn(memory: Memory, learns: Learns, lora: LoraConfig | None = None) -> list[str]:
    """Say which weights of an attached host learn, and give their names; nothing else gets a gradient.

    What the memory has itself (gates, slopes of age) always learns. `"queries"`: also the query projections of layers
    with a memory, `"lora"`: also low-rank adapters, `"all"`: also every weight of the host that a gradient reaches.
    """
    if learns == "lora":
        add_lora(memory.model, lora or LoraConfig())
    weights = list(memory.model.named_parameters())
    chosen = {id(weight) for name, weight in weights if OWN in name}
    if learns == "gates" and not chosen:
        raise Problem(
            "there is no gate to learn: a joint merge without age or persistent vectors has none; give merge='gated', "
            "or let more learn"
        )
    if learns == "queries":
        chosen |= {id(weight) for weight in _queries(memory)}
    names = []
    for name, weight in weights:
        adapts = learns == "lora" and MARK in name
        trained = learns == "all" and not name.endswith(HELD)
        weight.requires_grad_(trained or adapts or id(weight) in chosen)
        names += [name] if weight.requires_grad else []
    return names


def _queries(memory: Memory) -> list[nn.Parameter]:
    """Weights that make the queries of layers with a memory."""
    modules = attentions(memory.model)
    found = []
    for layer in memory.layers:
        parts = dict(modules[layer].named_children())
        if "q_proj" not in parts:
            raise Problem(
                f"{memory.model.config.model_type} makes queries, keys and values by one matrix, so queries cannot "
                "learn alone: let lora or all learn"
            )
        found += [*parts["q_proj"].parameters(), *(p for n, m in parts.items() if n in NORMS for p in m.parameters())]
    return found


def start_equal(memory: Memory, sharpness: float) -> None:
    """In layers with a memory, W_q = W_k, so that what comes again finds what was remembered in the same words.

    Queries that the host normalises get the keys' gains times `sharpness`, others weights times that. The layer's own
    attention changes with it, so the host is worse until it has learnt again.
    """
    modules, heads = attentions(memory.model), memory.model.config.num_attention_heads
    _queries(memory)  # says where there are none
    with torch.no_grad():
        for layer in memory.layers:
            parts = dict(modules[layer].named_children())
            gains = [name for name in NORMS if name in parts]
            for name, weight in parts["q_proj"].named_parameters():
                key = parts["k_proj"].get_parameter(name)
                grouped = key.unflatten(0, (-1, len(weight) // heads))
                spread = grouped.repeat_interleave(heads // len(grouped), dim=0).flatten(0, 1)
                weight.copy_(spread * (1.0 if gains else sharpness))
            for name in gains:
                gain = parts[name.replace("q_", "k_").replace("query", "key")].get_parameter("weight")
                parts[name].get_parameter("weight").copy_(gain * sharpness)
