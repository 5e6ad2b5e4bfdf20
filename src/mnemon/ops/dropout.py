import torch
from torch import Tensor

LEVELS = 1 << 16  # four draws come out of 64 random bits: a ninth of the time of a draw of its own for each weight
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # whose top bit is the sign of numbers of so many bytes


def rate(dropout: float) -> float:
    """The share of weights that `drop_` really drops: a multiple of 1/65536, never 0 or 1."""
    return min(max(round(dropout * LEVELS), 1), LEVELS - 1) / LEVELS


def drop_(weights: Tensor, dropout: float) -> Tensor:
    """Turn the sign of weights that are dropped, so that one tensor holds them and what became of them.

    Weights are at least 0: max(x, 0) is what is left, |x| what was before. Drawn from PyTorch's own generator.
    """
    draws = torch.empty(-(-weights.numel() // 4), dtype=torch.int64, device=weights.device).random_(-(1 << 63), None)
    least = int(rate(dropout) * LEVELS) - LEVELS // 2  # of the draws that keep a weight
    dropped = draws.view(torch.int16)[: weights.numel()].view(weights.shape).clamp_(least - 1, least).sub_(least)
    integer = INTEGERS[weights.element_size()]
    sign = 8 * weights.element_size() - 1
    weights.view(integer).bitwise_xor_(dropped.to(integer).bitwise_left_shift_(sign))  # -1 becomes the sign, 0 stays
    return weights
