import inspect

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from mnemon.config import Problem
from mnemon.hosts.support import FAMILIES, Family

Angles = tuple[Tensor, Tensor]  # cosines and sines as the model file lays them out, b t and some channels


def rotate(
    attention: nn.Module, x: Float[Tensor, "b h t d"], cos: Tensor | None, sin: Tensor | None
) -> Float[Tensor, "b h t d"]:
    """A(p) x: queries or keys as this layer of the host turns them at the positions whose angles are given.

    (x1, x2) -> a (x1 cos - x2 sin, x2 cos + x1 sin) for each pair of channels that the family turns, in arithmetic of
    at least float32; a is the factor that scaled rotations (YaRN) put into cosines and sines. Where nothing is turned
    (no rotation in this family or in this layer), x itself.

    RoFormer, arXiv 2104.09864, equation 34.
    """
    return _turned(attention, x, cos, sin, inverse=False)


def unrotate(
    attention: nn.Module, x: Float[Tensor, "b h t d"], cos: Tensor | None, sin: Tensor | None
) -> Float[Tensor, "b h t d"]:
    """A(p)^-1 x: what `rotate` was given, without position and without the factor a; exact for every scaling."""
    return _turned(attention, x, cos, sin, inverse=True)


def angles(model: PreTrainedModel, attention: nn.Module, positions: Int[Tensor, "b n"]) -> Angles | None:
    """Cosines and sines of any positions, negative ones too, by the host's own module; None where nothing is turned.

    Frequencies that depend on the length read so far (LongRoPE, dynamic scaling) stay as the host's last call left
    them: asking changes nothing in the host.
    """
    row = FAMILIES[_kind(attention)]
    if not row.turns(attention):
        return None
    rotary = _rotary(model)
    like = torch.empty(0, dtype=model.dtype, device=positions.device)
    forward = inspect.unwrap(type(rotary).forward)
    with torch.no_grad():
        if row.by_type:
            cos, sin = forward(rotary, like, positions, row.layer_type(attention))
        else:
            cos, sin = forward(rotary, like, positions)
    return cos, sin


def _kind(attention: nn.Module) -> str:
    """The model type of the configuration that an attention module holds."""
    return str(attention.config.model_type)  # type: ignore[union-attr]


def _rotary(model: PreTrainedModel) -> nn.Module:
    """The module that gives a host its angles."""
    found = [module for name, module in model.named_modules() if name.endswith("rotary_emb")]
    if len(found) != 1:
        raise Problem(f"{type(model).__name__} has {len(found)} rotary modules, and a memory needs exactly one")
    return found[0]


def _turned(attention: nn.Module, x: Tensor, cos: Tensor | None, sin: Tensor | None, inverse: bool) -> Tensor:
    """Every pair of channels that the layer turns, turned by its angle or back; other channels as they are."""
    row = FAMILIES[_kind(attention)]
    if cos is None or sin is None or not row.turns(attention):
        return x
    wide = torch.promote_types(x.dtype, torch.float32)
    c, s = (_once(row, angle).to(wide).unsqueeze(1) for angle in (cos, sin))  # b 1 t r/2
    if row.rotation == "mirrored":
        s = -s
    turned, kept = x.split((2 * c.shape[-1], x.shape[-1] - 2 * c.shape[-1]), dim=-1)
    x1, x2 = _apart(row, turned.to(wide))
    if inverse:
        factor = c.square() + s.square()
        c, s = c / factor, -s / factor
    return torch.cat((_together(row, x1 * c - x2 * s, x2 * c + x1 * s).to(x.dtype), kept), dim=-1)


def _once(row: Family, angle: Tensor) -> Tensor:
    """One cosine (or sine) a pair of channels."""
    match row.angles:
        case "halves":
            return angle.chunk(2, dim=-1)[0]
        case "pairs":
            return angle[..., ::2]
        case "once":
            return angle


def _apart(row: Family, x: Tensor) -> tuple[Tensor, Tensor]:
    """First and second channel of each pair."""
    if row.rotation == "pairs":
        return x[..., ::2], x[..., 1::2]
    first, second = x.chunk(2, dim=-1)
    return first, second


def _together(row: Family, first: Tensor, second: Tensor) -> Tensor:
    """Undoes `_apart`."""
    if row.rotation == "pairs":
        return torch.stack((first, second), dim=-1).flatten(-2)
    return torch.cat((first, second), dim=-1)
