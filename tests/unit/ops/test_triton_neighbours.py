import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mnemon.ops import Neighbours, neighbours, partial_neighbours, write_count
from mnemon.ops.triton_neighbours import attend_neighbours

B, H, T, K, D, M, S = 3, 2, 5, 3, 6, 11, 2  # neither k nor d is a power of two
HERE = "cuda" if torch.cuda.is_available() else "cpu"  # on a CPU the kernels are interpreted


def stored(dtype: torch.dtype = torch.float64) -> Neighbours:
    """As in the tests of the reference: query 1 found one entry, query 2 nothing, unwritten slots are NaN."""
    draw = torch.Generator().manual_seed(0)
    keys, values = (torch.randn(S, H, M, D, generator=draw, dtype=torch.float64) for _ in range(2))
    keys[:, :, -1], values[:, :, -1] = math.nan, math.nan
    ids = torch.rand(B, H, T, M - 1, generator=draw).argsort(-1)[..., :K]
    valid = torch.ones(B, H, T, K, dtype=torch.bool)
    valid[0, :, 1, 1:], valid[0, :, 2] = False, False
    ids = ids.masked_fill(~valid, M - 1).to(HERE)
    keys, values = keys.to(dtype).to(HERE), values.to(dtype).to(HERE)
    rows, positions = torch.tensor([1, 0, 1]).to(HERE), torch.zeros(S, M, dtype=torch.long).to(HERE)
    scores = torch.zeros(B, H, T, K, dtype=dtype).to(HERE)
    return Neighbours(keys, values, positions, rows, ids, valid.to(HERE), scores, write_count(keys))


def uneven(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype).to(HERE)


def both(read: Neighbours, biased: bool, softcap: float | None, through: str, dtype: torch.dtype) -> list[list[Tensor]]:
    """Outputs and gradients, by the kernels and by the reference."""
    found = []
    for attend in (attend_neighbours, partial_neighbours):
        leaves = [uneven(B, H, T, D, seed=1, dtype=dtype).requires_grad_()]
        if biased:
            leaves.append(uneven(B, H, T, K, seed=2, dtype=dtype).requires_grad_())
        part = attend(leaves[0], read, leaves[1] if biased else None, softcap)
        assert part.z is not None
        assert part.weights is not None
        total = leaves[0].new_zeros(())
        if "o" in through:
            total = total + (part.o * uneven(B, H, T, D, seed=3)).sum()
        if "z" in through:
            total = total + (part.z * uneven(B, H, T, seed=4))[part.z > -math.inf].sum()
        found.append([part.o.detach(), part.z.detach(), part.weights, *torch.autograd.grad(total, leaves)])
    return found


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize(
    ("through", "biased", "softcap"), [("o", False, None), ("z", True, None), ("oz", False, 1.5), ("oz", True, None)]
)
def test_fused_neighbours_equal_the_reference(through: str, zeros: bool, biased: bool, softcap: float | None) -> None:
    got, expected = both(replace(stored(), zeros=zeros), biased, softcap, through, torch.float64)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("zeros", [False, True])
def test_fused_neighbours_that_found_nothing_equal_the_reference(zeros: bool) -> None:
    read = replace(stored(), zeros=zeros)
    read = replace(read, valid=torch.zeros_like(read.valid))
    got, expected = both(read, True, None, "o", torch.float64)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("asked", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("held", [torch.bfloat16, torch.float32])
def test_fused_neighbours_compute_in_float32(asked: torch.dtype, held: torch.dtype) -> None:
    read = stored(held)
    q, bias = (uneven(B, H, T, n, seed=n, dtype=asked) for n in (D, K))
    exact = partial_neighbours(
        q.double(), replace(read, keys=read.keys.double(), values=read.values.double(), version=0), bias.double()
    )
    found = attend_neighbours(q, read, bias)
    assert (found.o.dtype, found.z.dtype) == (asked, torch.float32)
    torch.testing.assert_close(found.z, exact.z.float())
    torch.testing.assert_close(found.o, exact.o.to(asked))


def test_fused_neighbours_read_a_view_of_a_store() -> None:
    read = stored()
    seen = replace(
        read, keys=read.keys[:, :, : M - 1], values=read.values[:, :, : M - 1], positions=read.positions[:, : M - 1]
    )
    torch.testing.assert_close(*both(seen, False, None, "oz", torch.float64))


def test_fused_neighbours_refuse_a_store_written_meanwhile() -> None:
    read = stored()
    part = attend_neighbours(uneven(B, H, T, D, seed=1).requires_grad_(), read)
    read.keys[0, 0, 0] += 1
    with pytest.raises(RuntimeError, match="after its backward"):
        part.o.sum().backward()


def test_neighbours_on_a_gpu_go_to_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    q, read = uneven(B, H, T, D, seed=1), stored()
    expected = attend_neighbours(q, read).o
    monkeypatch.setattr(neighbours, "accelerated", lambda *tensors: True)
    assert torch.equal(partial_neighbours(q, read).o, expected)
    assert not torch.equal(partial_neighbours(q, read, softcap=0.5).o, expected)


@pytest.mark.gpu
def test_neighbours_in_bfloat16_equal_the_reference_on_a_gpu() -> None:
    q, read = uneven(B, H, T, D, seed=1, dtype=torch.bfloat16), stored(torch.bfloat16)
    exact = partial_neighbours(
        q.double(), replace(read, keys=read.keys.double(), values=read.values.double(), version=0)
    )
    torch.testing.assert_close(partial_neighbours(q, read).o, exact.o.bfloat16())
