import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mnemon.config import Config
from mnemon.ops import wide


class AdaptiveSpan(nn.Module):
    """m_z(x) = clamp((R + z - x) / R, 0, 1) for distance x, with one learned span z = S z' a head.

    arXiv 1905.07799 eq. 1-3, used by 1907.01470: z' in [0, 1], 0 at the start; R is the ramp. A factor on the
    exponentiated scores of the recent past, renormalised together with the persistent vectors.
    Deviation: the released code measures x from 0 for the nearest key, so that every span is one longer; here the
    paper's x = t - r, as `offset=0`; `offset=1` gives the code's reading.
    """

    def __init__(self, n_heads: int, limit: int, ramp: int, penalty: float, offset: int):
        super().__init__()
        self.limit, self.ramp, self.weight, self.offset = limit, ramp, penalty, offset
        self.ratio = nn.Parameter(torch.zeros(n_heads))

    def forward(self, distance: Int[Tensor, " x"]) -> Float[Tensor, "h x"]:
        """The factor m of each key at its distance, per head; in float32 at least, for distances reach thousands."""
        z = (wide(self.ratio) * self.limit)[:, None]
        return ((self.ramp + z - (distance - self.offset)) / self.ramp).clamp(0.0, 1.0)

    def penalty(self) -> Float[Tensor, ""]:
        """lambda S mean_h z'_h, in nats: lambda over the heads of a layer times the sum of their spans."""
        return self.weight * self.limit * wide(self.ratio).mean()

    @torch.no_grad()
    def project_(self) -> None:
        """Bring z' back to [0, 1] after an optimiser step."""
        self.ratio.clamp_(0.0, 1.0)

    def longest(self) -> int:
        """Tokens the furthest-reaching head may see, with its ramp and room to grow, in steps of 64."""
        reach = float(self.ratio.detach().max()) * self.limit + self.ramp
        return min(-(-int(reach + 64) // 64) * 64, self.limit)


class SpanConfig(Config):
    """`limit` S, `ramp` R, `penalty` lambda: the span loss added to the mean token loss."""

    limit: int = 8192
    ramp: int = 32
    penalty: float = 1e-7
    offset: int = 0

    def build(self, n_heads: int) -> AdaptiveSpan:
        return AdaptiveSpan(n_heads, self.limit, self.ramp, self.penalty, self.offset)
