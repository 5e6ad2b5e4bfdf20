import pytest
import torch
from torch import Tensor, nn

from mnemon.model import Attention, AttentionConfig, Block, FeedForward, FeedForwardConfig
from mnemon.model.block import Activation, norm
from mnemon.model.call import Call
from mnemon.model.state import LayerView
from mnemon.pools import Fresh
from mnemon.pools.local import LocalPool
from mnemon.positions.none import NoPosition

B, T, E, F = 2, 5, 6, 10
VIEW = LayerView({}, torch.zeros(B, dtype=torch.long))


class Doubling(nn.Module):
    """In attention's place: twice what comes in."""

    def forward(self, x: Tensor, view: LayerView, *_: object) -> tuple[Tensor, Fresh, None]:
        return 2 * x, Fresh(x, view.position), None


def made(post: bool, feedforward: bool, dropout: float = 0.0) -> Block:
    torch.manual_seed(0)
    inner = FeedForwardConfig(dim=F).build(E) if feedforward else None
    layer = Attention(E, 3, 2, {"local": LocalPool(E, T, False)}, T, T, NoPosition(), AttentionConfig())
    block = Block(layer, inner, E, "layer", post, dropout).double()
    block.attention = Doubling()
    for parameter in block.norms.parameters():
        parameter.data.normal_()
    return block


X = torch.randn(B, T, E, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("feedforward", [True, False])
def test_pre_norm_adds_each_sublayer_of_the_normed_input(feedforward: bool) -> None:
    block = made(False, feedforward)
    y = X + 2 * block.norms[0](X)
    expected = y + block.feedforward(block.norms[1](y)) if feedforward else y
    torch.testing.assert_close(block(X, VIEW, Call(), None)[0], expected)
    assert len(block.norms) == 1 + feedforward


@pytest.mark.parametrize("feedforward", [True, False])
def test_post_norm_norms_the_sum_of_each_sublayer_and_its_input(feedforward: bool) -> None:
    block = made(True, feedforward)
    y = block.norms[0](X + 2 * X)
    expected = block.norms[1](y + block.feedforward(y)) if feedforward else y
    torch.testing.assert_close(block(X, VIEW, Call(), None)[0], expected)


@pytest.mark.parametrize("post", [True, False])
def test_dropout_acts_in_training_alone(post: bool) -> None:
    block = made(post, True, dropout=0.5)
    again = [block.train()(X, VIEW, Call(), None)[0] for _ in range(2)]
    assert not torch.equal(*again)
    torch.testing.assert_close(block.eval()(X, VIEW, Call(), None)[0], made(post, True)(X, VIEW, Call(), None)[0])


@pytest.mark.parametrize("activation", ["relu", "relu2", "gelu", "softmax"])
def test_feedforward_is_two_products_around_the_activation(activation: Activation) -> None:
    layer = FeedForward(E, F, activation).double()
    inner = X @ layer.up.weight.T
    expected = {
        "relu": inner.clamp(min=0),
        "relu2": inner.clamp(min=0) ** 2,
        "gelu": inner * torch.special.ndtr(inner),
        "softmax": inner.exp() / inner.exp().sum(-1, keepdim=True),
    }[activation]
    torch.testing.assert_close(layer(X), expected @ layer.down.weight.T)
    assert sum(p.numel() for p in layer.parameters()) == 2 * E * F


def test_feedforward_may_have_biases() -> None:
    layer = FeedForwardConfig(dim=F, bias=True).build(E).double()
    inner = (X @ layer.up.weight.T + layer.up.bias).clamp(min=0)
    torch.testing.assert_close(layer(X), inner @ layer.down.weight.T + layer.down.bias)


def test_feedforward_drops_inner_values_in_training_alone() -> None:
    layer = FeedForwardConfig(dim=1, bias=True, dropout=0.25).build(E)
    for parameter, value in zip(layer.parameters(), (0.0, 1.0, 1.0, 0.0), strict=True):  # FF(x) = 1
        parameter.data.fill_(value)
    x = torch.zeros(2, 50, E)
    torch.testing.assert_close(layer.train()(x).unique(), torch.tensor([0.0, 1 / 0.75]))
    assert torch.equal(layer.eval()(x), torch.ones(2, 50, E))


def test_rms_norm_has_a_gain_and_neither_mean_nor_bias() -> None:
    layer = norm("rms", E).double()
    layer.weight.data.normal_()
    expected = X * (X.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * layer.weight
    torch.testing.assert_close(layer(X), expected)
    assert [p.shape for p in layer.parameters()] == [(E,)]


def test_layer_norm_has_gain_and_bias() -> None:
    assert [p.shape for p in norm("layer", E).parameters()] == [(E,), (E,)]


def test_a_gated_feedforward_layer_multiplies_what_two_matrices_give() -> None:
    layer = FeedForwardConfig(dim=F, gated=True).build(E).double()
    expected = ((X @ layer.up.weight.T).relu() * (X @ layer.factor.weight.T)) @ layer.down.weight.T
    torch.testing.assert_close(layer(X), expected)
