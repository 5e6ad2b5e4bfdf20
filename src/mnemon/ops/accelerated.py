"""Which tensors the GPU's kernels are for. They are written in Triton, which PyTorch's CUDA builds bring along."""

import importlib
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def accelerated(*tensors: Tensor) -> bool:
    """Whether kernels of our own run: on a GPU, in the dtypes they are written for, where Triton is installed."""
    return all(x.is_cuda and x.dtype in DTYPES for x in tensors) and find_spec("triton") is not None


def kernels(module: str) -> ModuleType:
    """A module of kernels, imported when it is first used: Triton is no dependency where there is no GPU."""
    return importlib.import_module(module)
