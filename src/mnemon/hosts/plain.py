"""A host with random weights, to measure what a memory costs where it need not make sense."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from mnemon.config import Problem


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama: `heads` query heads on `groups` key/value heads, feed-forward layers `inner` wide."""

    dim: int = 1024
    layers: int = 12
    heads: int = 16
    groups: int = 4
    inner: int = 2816
    vocabulary: int = 32_000
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"

    def __post_init__(self) -> None:
        sizes = (self.dim, self.layers, self.heads, self.groups, self.inner, self.vocabulary)
        if min(sizes) < 1 or self.dim % (2 * self.heads) or self.heads % self.groups:
            raise Problem(
                f"a host of dim {self.dim}, {self.layers} layers, {self.heads} heads on {self.groups} key/value heads: "
                "dim must be a multiple of twice the heads, and heads one of the key/value heads"
            )


def plain_host(shape: Shape, room: int, seed: int = 0) -> PreTrainedModel:
    """A Llama of this shape with random weights, for texts of up to `room` tokens."""
    config = LlamaConfig(
        hidden_size=shape.dim,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.groups,
        intermediate_size=shape.inner,
        vocab_size=shape.vocabulary,
        max_position_embeddings=room,
    )
    config.dtype = getattr(torch, shape.dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        host: Any = LlamaForCausalLM(config)
    return host.to(config.dtype).eval()
