from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from mnemon.config import Problem
from mnemon.model.block import Activation, FeedForward, activated
from mnemon.ops import Partial, partial_dense, partial_pointwise
from mnemon.pools.persistent import PersistentPool


@dataclass(frozen=True)
class Vectors:
    """A feed-forward layer as attention over N persistent vectors, in one head as wide as the model.

    FF(x) = U act(V x + b) + c = sum_i a_i value_i + c, with a = act(x . key_i + b_i): keys are the rows of V, values
    the columns of U (arXiv 1907.01470). `attend` gives the layer's output to rounding: for softmax these
    are attention's weights; for ReLU and the others they do not sum to one, and merge with no other pool.
    """

    key: Float[Tensor, "n e"]
    value: Float[Tensor, "n e"]
    bias: Float[Tensor, " n"] | None
    shift: Float[Tensor, " e"] | None
    activation: Activation

    def attend(self, x: Float[Tensor, "b t e"]) -> Float[Tensor, "b t e"]:
        """What queries `x` get, without projections and without a scale."""
        part = self.partial(x)
        o = part.o[:, 0]
        return o if self.shift is None else o + self.shift

    def partial(self, x: Float[Tensor, "b t e"]) -> Partial:
        """The same as a partial result of one head, without c; its `weights` are a."""
        q, k, v = x[:, None], self.key[None, None], self.value[None, None]
        k, v = k.expand(len(x), -1, -1, -1), v.expand(len(x), -1, -1, -1)
        bias = None if self.bias is None else self.bias.expand(1, 1, x.shape[1], -1)
        if self.activation == "softmax":
            return partial_dense(q, k, v, bias)
        return partial_pointwise(q, k, v, lambda s: activated(s, self.activation), bias)

    def pool(self) -> PersistentPool:
        """The vectors as a pool: what it reads are these keys and values, its parameters what makes them so.

        b and c have no place in a pool. Under softmax c can enter the values, for the weights sum to one.
        """
        return PersistentPool.holding(self.key[None], self.value[None])


def as_attention(feedforward: FeedForward) -> Vectors:
    """The persistent vectors that a feed-forward layer is; they share its weights. A gated layer is none."""
    if feedforward.factor is not None:
        raise Problem("a gated feed-forward layer is no attention: its weights are products of two of its matrices")
    up, down = feedforward.up, feedforward.down
    return Vectors(up.weight, down.weight.mT, up.bias, down.bias, feedforward.activation)
