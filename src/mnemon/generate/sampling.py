import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mnemon.config import Problem


@dataclass(frozen=True)
class Sampling:
    """How much is written and how each token is drawn: `temperature` 0 takes the likeliest one.

    `top_k`: only among the k likeliest; `top_p`: only among the likeliest that together hold this much probability
    (nucleus sampling, arXiv 1904.09751). `rows`: independent continuations of one prompt.
    """

    max_tokens: int = 256
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    rows: int = 1

    def __post_init__(self) -> None:
        for name in ("max_tokens", "rows"):
            if getattr(self, name) < 1:
                raise Problem(f"{name} {getattr(self, name)}: must be at least 1")
        if not 0 <= self.temperature < math.inf:
            raise Problem(f"temperature {self.temperature}: must be 0 (the likeliest token) or more")
        if self.top_k is not None and self.top_k < 1:
            raise Problem(f"top_k {self.top_k}: must be at least 1")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise Problem(f"top_p {self.top_p}: must be above 0 and at most 1")


def probabilities(logits: Float[Tensor, "b vocabulary"], sampling: Sampling) -> Float[Tensor, "b vocabulary"]:
    """What the next token is drawn from, in float32."""
    logits = logits.float()
    if sampling.temperature == 0:
        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
    # In double precision and from the largest down, so that no temperature above zero is too small.
    logits = ((logits - logits.amax(-1, keepdim=True)).double() / sampling.temperature).float()
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    kept = torch.ones_like(ordered, dtype=torch.bool)
    if sampling.top_k is not None:
        kept[:, sampling.top_k :] = False
    if sampling.top_p is not None:
        p = ordered.masked_fill(~kept, -math.inf).softmax(-1)
        kept &= p.cumsum(-1) - p < sampling.top_p  # the one that crosses the bound still belongs to them
    return torch.empty_like(logits).scatter(-1, order, ordered.masked_fill(~kept, -math.inf).softmax(-1))


def draw(logits: Float[Tensor, "b vocabulary"], sampling: Sampling, generator: torch.Generator) -> Int[Tensor, " b"]:
    """One token for each row; on the CPU, so that a seed gives the same tokens on every device."""
    return torch.multinomial(probabilities(logits.cpu(), sampling), 1, generator=generator).squeeze(1)
