from collections.abc import Iterable
from typing import Any

from torch import nn


def groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Groups for an optimiser: parameters of two or more dimensions decay; gains, gates, scales and biases do not."""
    chosen = [parameter for parameter in parameters if parameter.requires_grad]
    found: list[dict[str, Any]] = [
        {"params": [p for p in chosen if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in chosen if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in found if group["params"]]
