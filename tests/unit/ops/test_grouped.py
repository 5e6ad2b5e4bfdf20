import math

import pytest
import torch
from torch import Tensor

from mnemon.ops import Partial, grouped, joint, partial_dense, partial_grouped

B, H, G, T, N, D = 2, 6, 3, 5, 7, 4


def inputs(dtype: torch.dtype = torch.float64, grad: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    made = (torch.randn(B, heads, n, D, generator=draw, dtype=torch.float64) for heads, n in ((H, T), (G, N), (G, N)))
    q, k, v = (x.to(dtype).requires_grad_(grad) for x in made)
    return q, k, v


def by_heads(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, seen: Tensor | None) -> Partial:
    """Each key/value head written out for every query head that it serves."""
    return partial_dense(q, k.repeat_interleave(H // G, 1), v.repeat_interleave(H // G, 1), bias, seen)


@pytest.fixture(params=["dense", "fused"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(grouped, "LEAST", 1 if request.param == "fused" else 99)
    return str(request.param)


MASKS = {
    "all is seen": (None, None),
    "past": (None, torch.ones(1, 1, T, N, dtype=torch.bool).tril()),
    "by row, one query sees nothing": (None, torch.arange(T * N).view(1, 1, T, N).expand(B, 1, T, N) % 3 == 0),
    "by head": (None, torch.arange(H * T * N).view(1, H, T, N) % 5 > 1),
    "bias": (torch.linspace(-2, 3, T * N, dtype=torch.float64).view(1, 1, T, N), None),
    "bias by head, infinite": (torch.linspace(-2, 3, H * T * N, dtype=torch.float64).view(1, H, T, N), None),
}


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("mask", MASKS)
def test_both_paths_equal_attention_head_by_head(mask: str) -> None:
    bias, seen = MASKS[mask]
    if seen is not None and "nothing" in mask:
        seen = seen.clone()
        seen[1, 0, 2] = False
    if bias is not None and "infinite" in mask:
        bias = bias.clone()
        bias[0, 1, 3], bias[0, 2, 0, :3] = -math.inf, -math.inf
    got, expected = partial_grouped(*inputs(), bias, seen), by_heads(*inputs(), bias, seen)
    torch.testing.assert_close(got.o, expected.o)
    torch.testing.assert_close(got.z, expected.z)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_types_are_those_of_the_dense_path(dtype: torch.dtype) -> None:
    got, expected = partial_grouped(*inputs(dtype)), by_heads(*inputs(dtype), None, None)
    assert (got.o.dtype, got.z.dtype) == (dtype, torch.float32)  # type: ignore[union-attr]
    torch.testing.assert_close(got.o, expected.o, rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(got.z, expected.z, rtol=2e-2, atol=2e-2)


@pytest.mark.usefixtures("path")
def test_gradients_go_through_the_log_sum_exp_whatever_is_faster() -> None:
    grads = []
    for attend in (partial_grouped, by_heads):
        q, k, v = inputs(grad=True)
        other = Partial(torch.ones(B, H, T, D).double(), torch.zeros(B, H, T).double())
        joint([attend(q, k, v, None, None), other]).o.square().sum().backward()
        grads.append([x.grad for x in (q, k, v)])
    for got, expected in zip(*grads, strict=True):
        torch.testing.assert_close(got, expected)


def test_a_soft_cap_takes_the_dense_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouped, "LEAST", 1)
    q, k, v = inputs()
    expected = partial_dense(q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), softcap=1.5)
    torch.testing.assert_close(partial_grouped(q, k, v, softcap=1.5).o, expected.o)
