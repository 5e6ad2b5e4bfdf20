import math

import pytest
import torch

from mnemon.positions.transformer_xl import TransformerXLConfig, TransformerXLPosition, sinusoid


@pytest.mark.parametrize("dim", [5, 6])
def test_sinusoids_are_all_sines_then_all_cosines(dim: int) -> None:
    found = sinusoid(torch.tensor([0, 3, 11]), dim, torch.float64)
    waves = -(-dim // 2)
    for row, position in zip(found, (0, 3, 11), strict=True):
        angles = [position / 10_000 ** (2 * i / dim) for i in range(waves)]
        expected = [*(math.sin(a) for a in angles), *(math.cos(a) for a in angles)][:dim]
        torch.testing.assert_close(row, torch.tensor(expected, dtype=torch.float64))


def made() -> TransformerXLPosition:
    torch.manual_seed(0)
    scheme = TransformerXLPosition(dim=6, n_heads=3, head_dim=4).double()
    for bias in (scheme.u, scheme.v):
        bias.data.normal_()
    return scheme


def test_bias_is_the_query_plus_v_times_the_projected_sinusoid() -> None:
    scheme = made()
    q = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    found = scheme.bias(q, torch.arange(6))
    w = scheme.project.weight.unflatten(0, (3, 4))  # h d e
    for t in range(5):
        for x in range(6):
            r = sinusoid(torch.tensor([x]), 6, torch.float64)[0]
            expected = torch.einsum("bhd,hde,e->bh", q[:, :, t] + scheme.v, w, r)
            torch.testing.assert_close(found[:, :, t, x], expected)


def test_content_queries_get_u_added() -> None:
    scheme = made()
    q = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    assert torch.equal(scheme.query(q)[1, 2, 3], q[1, 2, 3] + scheme.u[2])


def test_u_and_v_start_at_zero() -> None:
    scheme = TransformerXLConfig().build(dim=6, n_heads=3, head_dim=4)
    assert not scheme.u.any()
    assert not scheme.v.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_weights_of_any_dtype_are_used_in_it(dtype: torch.dtype) -> None:
    scheme = made().to(dtype)
    bias = scheme.bias(torch.randn(2, 3, 5, 4, dtype=dtype), torch.zeros(7, dtype=torch.long))
    assert bias.dtype == dtype
