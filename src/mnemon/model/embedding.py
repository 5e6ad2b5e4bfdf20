import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mnemon.config import Config


class PlainEmbedding(nn.Module):
    """A table [vocabulary, e]."""

    def __init__(self, vocab_size: int, dim: int, std: float):
        super().__init__()
        self.table = nn.Parameter(torch.randn(vocab_size, dim) * std)

    def forward(self, tokens: Int[Tensor, "b t"]) -> Float[Tensor, "b t e"]:
        return nn.functional.embedding(tokens, self.table)


def bounds(vocab_size: int, cutoffs: Sequence[int]) -> list[tuple[int, int]]:
    """First and last token of each cluster of a vocabulary that is sorted by frequency."""
    edges = [0, *(cut for cut in cutoffs if cut < vocab_size), vocab_size]
    return list(itertools.pairwise(edges))


class AdaptiveEmbedding(nn.Module):
    """x = sqrt(e) P_i E_i[token]: cluster i of a frequency-sorted vocabulary has width e / divide^i.

    Adaptive input as used by 1907.01470 (released code, WikiText-103): cuts 20k / 40k / 200k, divide = 4, projections
    without bias, also for the first cluster. With divide = 1 every table is as wide as the model and none is projected
    (arXiv 1901.02860, released code).
    """

    def __init__(self, vocab_size: int, dim: int, cutoffs: Sequence[int], divide: int):
        super().__init__()
        self.dim = dim
        self.bounds = bounds(vocab_size, cutoffs)
        widths = [max(dim // divide**i, 1) for i in range(len(self.bounds))]
        tables = [
            nn.Parameter(torch.randn(last - first, width) * width**-0.5)
            for (first, last), width in zip(self.bounds, widths, strict=True)
        ]
        self.tables = nn.ParameterList(tables)
        self.projections = nn.ModuleList(nn.Linear(width, dim, bias=False) for width in widths if divide > 1)

    def forward(self, tokens: Int[Tensor, "b t"]) -> Float[Tensor, "b t e"]:
        flat = tokens.flatten()
        x = self.tables[0].new_zeros(len(flat), self.dim)
        for cluster, ((first, last), table) in enumerate(zip(self.bounds, self.tables, strict=True)):
            inside = ((flat >= first) & (flat < last)).nonzero().squeeze(1)
            rows = nn.functional.embedding(flat[inside] - first, table)
            if len(self.projections):
                rows = self.projections[cluster](rows)
            x = x.index_copy(0, inside, rows.to(x.dtype))
        return x.view(*tokens.shape, self.dim) * math.sqrt(self.dim)


class EmbeddingConfig(Config):
    """`kind`: one table of standard deviation `std`, or adaptive input over a frequency-sorted vocabulary."""

    kind: Literal["plain", "adaptive"] = "plain"
    std: float = 1.0
    cutoffs: tuple[int, ...] = (20_000, 40_000, 200_000)
    divide: int = 4

    def build(self, vocab_size: int, dim: int) -> PlainEmbedding | AdaptiveEmbedding:
        if self.kind == "plain":
            return PlainEmbedding(vocab_size, dim, self.std)
        return AdaptiveEmbedding(vocab_size, dim, self.cutoffs, self.divide)
