"""Small models of every kind: sizes are odd and all different, and no parameter is left at a neutral value."""

from collections.abc import Mapping
from typing import Any

import torch

from mnemon.model import FeedForwardConfig, MemoryState, ModelConfig, Output, Transformer

SEGMENT, WINDOW, VOCABULARY = 5, 7, 13


def small(**changes: Any) -> ModelConfig:
    """A model of two layers without cache or memory; `a__b=x` changes field b of the config in field a."""
    base = ModelConfig(
        vocab_size=VOCABULARY,
        dim=12,
        n_layers=2,
        n_heads=3,
        head_dim=4,
        segment=SEGMENT,
        window=WINDOW,
        feedforward=FeedForwardConfig(dim=10),
    )
    return base.replace(**changes)


def awake(config: ModelConfig, dtype: torch.dtype = torch.float64, seed: int = 0) -> Transformer:
    """The model with every parameter moved away from its start, so that zeros and ones hide nothing."""
    model = config.build().to(dtype)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("span.ratio"):
                parameter.copy_(torch.rand(parameter.shape, generator=draw) * 0.6)
            elif name.endswith("attention.scale"):
                parameter.copy_(torch.rand(parameter.shape, generator=draw) * 2 + 1)
            else:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
    return model.eval()


def same(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> bool:
    """Whether two sets of tensors are equal, bit for bit; slots that were never written are NaN in both."""
    return found.keys() == expected.keys() and all(
        torch.equal(tensor.nan_to_num(), expected[name].nan_to_num()) for name, tensor in found.items()
    )


def text(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    """Random tokens [rows length]."""
    return torch.randint(0, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


def read(model: Transformer, state: MemoryState, tokens: torch.Tensor, cuts: list[int] | None = None) -> torch.Tensor:
    """Hidden states of `tokens`, fed in pieces of the lengths `cuts` and then of whatever there is room for."""
    found, first = [], 0
    cuts = list(cuts or [])
    while first < tokens.shape[1]:
        t = cuts.pop(0) if cuts else min(state.room(), tokens.shape[1] - first)
        output: Output
        output, update = model(tokens[:, first : first + t], state)
        state.commit(update)
        found.append(output.hidden)
        first += t
    return torch.cat(found, dim=1)
