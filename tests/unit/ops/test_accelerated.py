import pytest
import torch

from mnemon.ops import plain
from mnemon.ops.accelerated import accelerated, kernels


def test_kernels_of_our_own_are_not_for_a_cpu() -> None:
    assert not accelerated(torch.zeros(1))


@pytest.mark.gpu
def test_kernels_of_our_own_are_for_a_gpu_in_the_dtypes_they_are_written_for() -> None:
    assert accelerated(torch.zeros(1, device="cuda"), torch.zeros(1, device="cuda", dtype=torch.bfloat16))
    assert not accelerated(torch.zeros(1, device="cuda", dtype=torch.float64))
    assert not accelerated(torch.zeros(1, device="cuda"), torch.zeros(1))


def test_kernels_are_found_by_the_name_of_their_module() -> None:
    assert kernels("mnemon.ops.triton_neighbours").attend_neighbours


@pytest.mark.gpu
def test_no_kernel_runs_where_none_is_wanted() -> None:
    x = torch.zeros(1, device="cuda")
    with plain():
        assert not accelerated(x)
    assert accelerated(x)
