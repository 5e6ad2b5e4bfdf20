"""The last entries of each row, right-aligned: slot n-1 is the newest, and `count` of them are real."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def append(
    recent: Float[Tensor, "b *h n d"], fresh: Float[Tensor, "b *h t d"], lengths: Int[Tensor, " b"], keep: int
) -> Float[Tensor, "b *h m d"]:
    """The last `keep` of each row's entries followed by the first `lengths[b]` fresh ones."""
    t = fresh.shape[-2]
    both = torch.cat([recent.to(fresh.dtype), fresh.detach()], dim=-2)
    total = both.shape[-2]
    if bool((lengths == t).all()):
        return both[..., max(total - keep, 0) :, :]
    size = min(keep, total)
    slots = torch.arange(total - size, total) + (lengths - t)[:, None]  # b m; below zero: before the row's first entry
    index = slots.clamp(min=0).to(both.device)
    index = index.view(len(index), *[1] * (both.ndim - 3), size, 1).expand(*both.shape[:-2], size, both.shape[-1])
    return both.gather(-2, index)


def zeroed(recent: Float[Tensor, "b *h n d"], count: Int[Tensor, " b"], slots: int) -> Float[Tensor, "b *h m d"]:
    """The last `slots` places of each row, with zeros in those that are not real."""
    held = recent.shape[-2]
    real = (torch.arange(held) >= held - count[:, None]).to(recent.device)  # b n
    kept = recent.where(real.view(len(real), *[1] * (recent.ndim - 3), held, 1), 0.0)
    return torch.nn.functional.pad(kept, (0, 0, slots - held, 0))  # a negative width cuts


def valid(count: Int[Tensor, " b"], slots: int, device: torch.device) -> Bool[Tensor, "b n"] | None:
    """Which of `slots` right-aligned slots are real; None where all are."""
    if bool((count >= slots).all()):
        return None
    return (torch.arange(slots) >= slots - count[:, None]).to(device)
