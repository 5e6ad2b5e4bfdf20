"""Which tensors the GPU's kernels are for. They are written in Triton, which PyTorch's CUDA builds bring along."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


_plain: ContextVar[bool] = ContextVar("plain", default=False)


@contextmanager
def plain() -> Iterator[None]:
    """Within it no kernel of our own runs, and no FlexAttention: to compare with, or where one fails."""
    before = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(before)


def accelerated(x: Tensor, *others: Tensor) -> bool:
    """Whether kernels of our own run: for `x` on a GPU, with others there or in host memory that it can read.

    In the dtypes they are written for, where Triton is installed.
    """
    if not x.is_cuda or _plain.get() or find_spec("triton") is None:
        return False
    return all(y.dtype in DTYPES and (y.is_cuda or y.is_pinned()) for y in (x, *others))


def kernels(module: str) -> ModuleType:
    """A module of kernels, imported when it is first used: Triton is no dependency where there is no GPU."""
    return importlib.import_module(module)
