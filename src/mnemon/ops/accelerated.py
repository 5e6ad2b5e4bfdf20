"""Which tensors the GPU's kernels are for. They are written in Triton, which PyTorch's CUDA builds bring along."""

import importlib
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def accelerated(x: Tensor, *others: Tensor) -> bool:
    """Whether kernels of our own run: for `x` on a GPU, with others there or in host memory that it can read.

    In the dtypes they are written for, where Triton is installed.
    """
    if not x.is_cuda or find_spec("triton") is None:
        return False
    return all(y.dtype in DTYPES and (y.is_cuda or y.is_pinned()) for y in (x, *others))


def kernels(module: str) -> ModuleType:
    """A module of kernels, imported when it is first used: Triton is no dependency where there is no GPU."""
    return importlib.import_module(module)
