from typing import get_args

import pytest
import torch

from mnemon.config import Problem
from mnemon.model import FeedForward, as_attention
from mnemon.model.block import Activation
from mnemon.ops import partial_shared
from streams import whole

B, T, E, F = 2, 5, 12, 29


def made(activation: Activation, bias: bool = True) -> FeedForward:
    torch.manual_seed(0)
    return FeedForward(E, F, activation, bias).double()


def inputs() -> torch.Tensor:
    return 3 * torch.randn(B, T, E, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", get_args(Activation))
def test_a_feedforward_layer_is_attention_over_its_weights(activation: Activation, bias: bool) -> None:
    layer, x = made(activation, bias), inputs()
    torch.testing.assert_close(as_attention(layer).attend(x), layer(x), rtol=0, atol=1e-12)


def test_a_gated_layer_is_refused() -> None:
    with pytest.raises(Problem, match="a gated feed-forward layer is no attention"):
        as_attention(FeedForward(E, F, "relu", gated=True))


@pytest.mark.parametrize("activation", ["relu", "softmax"])
def test_keys_are_rows_of_the_first_matrix_and_values_columns_of_the_second(activation: Activation) -> None:
    layer, x = made(activation), inputs()
    found, part = as_attention(layer), as_attention(layer).partial(x)
    a = torch.stack([(layer.up.weight[i] * x).sum(-1) + layer.up.bias[i] for i in range(F)], dim=-1)  # b t n
    a = a.clamp(min=0) if activation == "relu" else a.exp() / a.exp().sum(-1, keepdim=True)
    torch.testing.assert_close(part.weights[:, 0], a)
    expected = sum(a[..., i, None] * layer.down.weight[:, i] for i in range(F))
    torch.testing.assert_close(part.o[:, 0], expected)
    assert (part.z is None) == (activation == "relu")
    assert torch.equal(found.shift, layer.down.bias)


def test_gradients_reach_the_layer() -> None:
    layer, x = made("relu"), inputs()
    parameters = list(layer.parameters())
    found, expected = (
        torch.autograd.grad(y.square().sum(), parameters) for y in (as_attention(layer).attend(x), layer(x))
    )
    torch.testing.assert_close(found, expected)


def test_a_pool_of_the_vectors_is_the_softmax_layer() -> None:
    layer, x = made("softmax", bias=False), inputs()
    pool = as_attention(layer).pool()
    read = pool.read(pool.init_state(B), x[:, None], whole([0] * B, T))
    assert read is not None
    torch.testing.assert_close(partial_shared(x[:, None], read.k, read.v).o[:, 0], layer(x), rtol=0, atol=1e-12)
    assert pool.key.data_ptr() != layer.up.weight.data_ptr()
    assert [p.shape for p in pool.parameters()] == [(1, F, E)] * 2
    assert all(p.requires_grad for p in pool.parameters())
