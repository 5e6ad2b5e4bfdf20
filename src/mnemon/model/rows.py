"""What rows remember, dealt to other states: several states' tensors one under the other, and rows cut out of them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

STORED = {"keys", "values", "positions", "written"}  # what a store says of entries in slots, and may say more of them
ONCE = ".size"  # ends the name of what a store says once for all its rows


def rows_joined(parts: Sequence[Mapping[str, Tensor]]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of one state with the rows of all, and the stores whose content is of a kind that cannot be joined.

    `parts` are what `MemoryState.tensors` gave for states of the same model.
    """
    names = list(dict.fromkeys(name for part in parts for name in part))
    stores: dict[str, list[str]] = {}
    for name in names:
        if ".store." in name:
            stores.setdefault(name.rpartition(".")[0], []).append(name)
    found = {name: _joined(name, parts) for name in names if ".store." not in name}
    lost = [store for store, held in stores.items() if not {f"{store}.{name}" for name in STORED} <= set(held)]
    for store, held in stores.items():
        found |= {} if store in lost else _slots_joined(held, parts)
    return found, lost


def rows_cut(tensors: Mapping[str, Tensor], first: int, last: int) -> dict[str, Tensor]:
    """The tensors of a state with the rows `first` to `last` - 1 alone."""
    cut = {name: (t if name.endswith(ONCE) else t[first:last]).clone() for name, t in tensors.items()}
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


def _slots_joined(names: Sequence[str], parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """A store grows before anything is overwritten, so that entries stay in their slots and free ones come behind."""
    like = next(part for part in parts if names[0] in part)
    empty = {name: like[name] if name.endswith(ONCE) else like[name][:0] for name in names}
    rows = [part if names[0] in part else _unwritten(empty, len(part["position"])) for part in parts]
    return {name: _wide([part[name] for part in rows], name.endswith(ONCE)) for name in names}


def _unwritten(empty: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
    """A store of so many rows in which nothing was written yet."""
    made = {name: _free(tensor, (rows, *tensor.shape[1:])) for name, tensor in empty.items() if not name.endswith(ONCE)}
    counts = {name: torch.zeros_like(tensor) for name, tensor in made.items() if tensor.ndim == 1}
    return {**empty, **made, **counts}


def _wide(tensors: Sequence[Tensor], once: bool) -> Tensor:
    """The rows of all, with as many slots as the widest has."""
    if once:
        return torch.stack(list(tensors)).amax(0)
    if tensors[0].ndim == 1:
        return torch.cat(list(tensors))
    axis = min(2, tensors[0].ndim - 1)  # b h m ... or b m
    slots = max(each.shape[axis] for each in tensors)
    shapes = [(*each.shape[:axis], slots - each.shape[axis], *each.shape[axis + 1 :]) for each in tensors]
    return torch.cat([torch.cat([x, _free(x, s)], dim=axis) for x, s in zip(tensors, shapes, strict=True)])


def _free(like: Tensor, shape: Sequence[int]) -> Tensor:
    """What stands in slots that hold nothing."""
    return like.new_full(shape, 0 if like.is_floating_point() or like.dtype == torch.uint8 else -1)
