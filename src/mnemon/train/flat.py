"""Optimiser state as named tensors: `parameter/quantity`, whatever the order of groups and parameters."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def flatten(optimizers: Sequence[Optimizer], names: Mapping[int, str]) -> dict[str, Tensor]:
    """The state of all parameters; `names` by the parameters' `id`."""
    return {
        f"{names[id(parameter)]}/{quantity}": torch.as_tensor(value)
        for optimizer in optimizers
        for parameter, values in optimizer.state.items()
        for quantity, value in values.items()
    }


def unflatten(
    optimizers: Sequence[Optimizer], parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Give the optimisers the state that `flatten` found; their settings stay as they are."""
    states: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, quantity = key.rpartition("/")
        states.setdefault(name, {})[quantity] = value
    known = {id(parameter): name for name, parameter in parameters.items()}
    for optimizer in optimizers:
        held = optimizer.state_dict()
        order = [known[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
        found = {index: states[name] for index, name in enumerate(order) if name in states}
        optimizer.load_state_dict({"state": found, "param_groups": held["param_groups"]})
