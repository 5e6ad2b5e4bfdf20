import contextlib
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


def computing(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """Autocast to bfloat16 for the forward pass, or nothing for float32: the weights' own type."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
