from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mnemon.config import Config
from mnemon.model.attention import Attention
from mnemon.model.call import Call
from mnemon.model.state import LayerView
from mnemon.model.trace import LayerTrace
from mnemon.ops import wide
from mnemon.pools import Fresh
from mnemon.positions import Position

Activation = Literal["relu", "relu2", "gelu", "softmax"]
Norm = Literal["rms", "layer"]


def norm(kind: Norm, dim: int) -> nn.Module:
    """RMS norm without bias, or LayerNorm with gain and bias."""
    return nn.RMSNorm(dim, eps=1e-6) if kind == "rms" else nn.LayerNorm(dim)


def activated(h: Float[Tensor, "*b f"], activation: Activation) -> Float[Tensor, "*b f"]:
    """act(h), element by element or, for softmax, over the last axis."""
    match activation:
        case "relu":
            return h.relu()
        case "relu2":
            return h.relu().square()
        case "gelu":
            return nn.functional.gelu(h)
    return wide(h).softmax(-1).to(h.dtype)


class FeedForward(nn.Module):
    """FF(x) = U act(V x + b) + c, or gated U (act(V x + b) * (W x + a)) + c (arXiv 2002.05202).

    Dropout acts on what U is given.
    """

    def __init__(
        self,
        dim: int,
        ffn_dim: int,
        activation: Activation,
        bias: bool = False,
        dropout: float = 0.0,
        gated: bool = False,
    ):
        super().__init__()
        self.activation, self.dropout = activation, dropout
        self.up = nn.Linear(dim, ffn_dim, bias=bias)
        self.factor = nn.Linear(dim, ffn_dim, bias=bias) if gated else None
        self.down = nn.Linear(ffn_dim, dim, bias=bias)

    def forward(self, x: Float[Tensor, "b t e"]) -> Float[Tensor, "b t e"]:
        h = activated(self.up(x), self.activation)
        h = h if self.factor is None else h * self.factor(x)
        return self.down(nn.functional.dropout(h, self.dropout, self.training))


class FeedForwardConfig(Config):
    """`dim`: inner size. `bias`: whether both products have one. `dropout`: on the inner values. `gated`: a third
    matrix, `factor`.
    """

    dim: int = 4096
    activation: Activation = "relu"
    bias: bool = False
    dropout: float = 0.0
    gated: bool = False

    def build(self, dim: int) -> FeedForward:
        return FeedForward(dim, self.dim, self.activation, self.bias, self.dropout, self.gated)


class Block(nn.Module):
    """Attention and, where there is one, a feed-forward layer, each with a residual path.

    pre: x + f(norm(x));  post: norm(x + f(x)), as in the all-attention network (arXiv 1907.01470, eq. 6).
    """

    def __init__(
        self, attention: Attention, feedforward: FeedForward | None, dim: int, kind: Norm, post: bool, dropout: float
    ):
        super().__init__()
        self.attention, self.feedforward, self.post, self.dropout = attention, feedforward, post, dropout
        self.norms = nn.ModuleList(norm(kind, dim) for _ in range(1 if feedforward is None else 2))

    def forward(
        self, x: Float[Tensor, "b t e"], view: LayerView, call: Call, position: Position | None
    ) -> tuple[Float[Tensor, "b t e"], Fresh, LayerTrace | None]:
        """(output, the segment's keys and values, trace if asked for)."""
        y, fresh, trace = self.attention(self._before(x, 0), view, call, position)
        x = self._after(x, y, 0)
        if self.feedforward is not None:
            x = self._after(x, self.feedforward(self._before(x, 1)), 1)
        return x, fresh, trace

    def written(self, x: Float[Tensor, "b t e"], view: LayerView, lengths: Int[Tensor, " b"] | None) -> Fresh:
        """What `forward` would have attention write of the segment, without its output."""
        return self.attention.written(self._before(x, 0), view, lengths)

    def _before(self, x: Tensor, index: int) -> Tensor:
        if self.post:
            return x
        return nn.functional.dropout(self.norms[index](x), self.dropout, self.training)

    def _after(self, x: Tensor, y: Tensor, index: int) -> Tensor:
        if not self.post:
            return x + y
        normed: torch.Tensor = self.norms[index](x + nn.functional.dropout(y, self.dropout, self.training))
        return normed
