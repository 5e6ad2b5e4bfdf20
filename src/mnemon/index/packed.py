"""How keys and values are stored: as they come, or in fewer bytes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """`pack` gives (codes, scales [... 1]) of vectors, `unpack` the vectors; a `direct` one's codes are vectors."""

    pack: Callable[[Tensor], tuple[Tensor, Tensor]]
    unpack: Callable[[Tensor, Tensor], Tensor]
    direct: bool


def _same(x: Float[Tensor, "*b d"]) -> tuple[Tensor, Tensor]:
    return x, torch.ones_like(x[..., :1])


def _bfloat16(x: Float[Tensor, "*b d"]) -> tuple[Tensor, Tensor]:
    return x.bfloat16(), torch.ones_like(x[..., :1])


def _int8(x: Float[Tensor, "*b d"]) -> tuple[Tensor, Tensor]:
    """x ~ scale * code, the scale a vector: its largest number is 127."""
    scale = (x.float().abs().amax(-1, keepdim=True) / 127).clamp(min=torch.finfo(torch.float32).tiny)
    return (x.float() / scale).round().to(torch.int8), scale


def _codes(codes: Shaped[Tensor, "*b d"], scales: Float[Tensor, "*b 1"]) -> Tensor:
    return codes


def _times(codes: Shaped[Tensor, "*b d"], scales: Float[Tensor, "*b 1"]) -> Tensor:
    return codes.float() * scales.float()


PACKINGS: dict[str, Packing] = {
    "same": Packing(_same, _codes, True),
    "bfloat16": Packing(_bfloat16, _codes, True),
    "int8": Packing(_int8, _times, False),
}
