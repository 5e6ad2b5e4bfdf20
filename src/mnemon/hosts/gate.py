import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mnemon.hosts.config import MemoryConfig
from mnemon.hosts.persistent import Persistent


class HeadGate(nn.Module):
    """What the heads of one layer learn about its memory; a submodule of the host's attention.

    `bias` b [h]: the gate g = sigmoid(b) (arXiv 2203.08913, section 3.2), where the merge is gated. `slope` a [h]: a
    neighbour's score gets a log2(age), where ages are told apart. `sharpness` c [h]: it is multiplied by exp(c) first,
    where the config's is not 1. What the config does not use is not there.
    `persistent`: vectors of the layer that `add_persistent` puts beside it.
    """

    def __init__(self, n_heads: int, config: MemoryConfig, device: torch.device):
        super().__init__()
        start = math.log(config.gate / (1 - config.gate))
        gated = config.merge == "gated"
        self.bias = nn.Parameter(torch.full((n_heads,), start, device=device)) if gated else None
        self.slope = nn.Parameter(torch.zeros(n_heads, device=device)) if config.age else None
        sharp, start = config.sharpness != 1.0, math.log(config.sharpness)
        self.sharpness = nn.Parameter(torch.full((n_heads,), start, device=device)) if sharp else None
        self.persistent: Persistent | None = None

    def sharpened(self, q: Float[Tensor, "b h t d"]) -> Float[Tensor, "b h t d"]:
        """Queries whose scores are as sharp as each head has them."""
        return q if self.sharpness is None else q * self.sharpness.exp()[:, None, None].to(q.dtype)

    def by_age(self, age: Int[Tensor, "b #h t k"]) -> Float[Tensor, "b h t k"] | None:
        """What is added to the scores of neighbours that are so many entries old."""
        return None if self.slope is None else self.slope[:, None, None] * age.clamp(min=1).log2()
