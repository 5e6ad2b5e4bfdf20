"""What rows remember, dealt to other states: several states' tensors one under the other, and rows cut out of them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

STORED = {"keys", "values", "positions", "written"}  # of a store whose entries lie in slots, row by row


def rows_joined(parts: Sequence[Mapping[str, Tensor]]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of one state with the rows of all, and the stores whose content is of a kind that cannot be joined.

    `parts` are what `MemoryState.tensors` gave for states of the same model.
    """
    names = list(dict.fromkeys(name for part in parts for name in part))
    stores = sorted({name.rpartition(".")[0] for name in names if ".store." in name})
    found = {name: _joined(name, parts) for name in names if ".store." not in name}
    lost = []
    for store in stores:
        if {name.removeprefix(f"{store}.") for name in names if name.startswith(f"{store}.")} == STORED:
            found |= _rings_joined(store, parts)
        else:
            lost.append(store)
    return found, lost


def rows_cut(tensors: Mapping[str, Tensor], first: int, last: int) -> dict[str, Tensor]:
    """The tensors of a state with the rows `first` to `last` - 1 alone."""
    cut = {name: tensor[first:last].clone() for name, tensor in tensors.items()}
    return {name: torch.arange(last - first) if name.endswith(".rows") else t for name, t in cut.items()}


def _joined(name: str, parts: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """What is remembered of the newest tokens is right-aligned, and shorter where less was read."""
    tensors = [part[name] for part in parts]
    if name.endswith(".rows"):
        return torch.arange(sum(len(each) for each in tensors))
    if tensors[0].ndim == 1:
        return torch.cat(tensors)
    longest = max(each.shape[-2] for each in tensors)
    dtype = next((each.dtype for each in tensors if each.numel()), tensors[0].dtype)
    return torch.cat([functional.pad(each.to(dtype), (0, 0, longest - each.shape[-2], 0)) for each in tensors])


def _rings_joined(store: str, parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """A store grows before anything is overwritten, so that entries stay in their slots and free ones come behind."""
    names = [f"{store}.{name}" for name in sorted(STORED)]
    like = next(part for part in parts if names[0] in part)
    empty = {name: like[name].new_zeros(0, *like[name].shape[1:]) for name in names}
    rings = [part if names[0] in part else _unwritten(empty, len(part["position"])) for part in parts]
    slots = max(ring[f"{store}.positions"].shape[1] for ring in rings)
    found = {}
    for name in names:
        axis = {"written": 0, "positions": 1}.get(name.rpartition(".")[2], 2)  # that of the slots; 0: there is none
        found[name] = torch.cat([ring[name] if not axis else _wider(ring[name], axis, slots) for ring in rings])
    return found


def _unwritten(empty: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
    """A store of so many rows in which nothing was written yet."""
    return {name: tensor.new_zeros(rows, *tensor.shape[1:]) for name, tensor in empty.items()}


def _wider(tensor: Tensor, axis: int, slots: int) -> Tensor:
    return functional.pad(tensor, [0, 0] * (tensor.ndim - 1 - axis) + [0, slots - tensor.shape[axis]])
