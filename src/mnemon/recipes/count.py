from collections import Counter
from dataclasses import dataclass

import torch

from mnemon.model import ModelConfig, Transformer

ADAM_STATES = 2  # two running moments a parameter


@dataclass(frozen=True)
class Parameters:
    """How many parameters a model has, and how many bytes of float32 they need."""

    total: int
    parts: dict[str, int]

    @property
    def inference_bytes(self) -> int:
        """The weights alone."""
        return 4 * self.total

    @property
    def training_bytes(self) -> int:
        """Weights, gradients and Adam's two moments; activations come on top."""
        return 4 * self.total * (2 + ADAM_STATES)


def count_parameters(config: ModelConfig) -> Parameters:
    """Exact parameter counts by part, without allocating the weights."""
    with torch.device("meta"):
        model = Transformer(config)
    parts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        parts[_part(name)] += parameter.numel()
    return Parameters(sum(parts.values()), dict(parts))


def _part(name: str) -> str:
    """The part of the model that a parameter belongs to, the same for every layer."""
    if not name.startswith("blocks."):
        return {"embedding": "embedding", "head": "output", "position": "positions"}.get(name.split(".")[0], "norms")
    inner = name.split(".", 2)[2]
    for prefix, part in (
        ("attention.pools.persistent", "persistent vectors"),
        ("attention.position", "positions"),
        ("attention.span", "attention spans"),
        ("attention.scale", "query-key scales"),
        ("attention.gate", "gates"),
        ("attention", "attention projections"),
        ("feedforward", "feed-forward"),
    ):
        if inner.startswith(prefix):
            return part
    return "norms"
