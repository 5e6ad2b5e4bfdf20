from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """The real tokens of a padded batch, moved to the left, and the way back.

    `lengths` of each row stand on the CPU; `latest` is, for each column, the row's newest real token up to there (0
    before the first). Padding may stand left, right or between: it is left out, and never read.
    """

    tokens: Int[Tensor, "b n"]
    lengths: Int[Tensor, " b"]
    latest: Int[Tensor, "b t"]
    real: Bool[Tensor, "b t"]

    @classmethod
    def of(cls, tokens: Int[Tensor, "b t"], real: Bool[Tensor, "b t"]) -> "Packed":
        """The tokens that are `real`; what stands behind a row's last one is 0."""
        lengths = real.sum(1).cpu()
        order = (~real).long().sort(dim=1, stable=True).indices[:, : max(int(lengths.max()), 1)]
        kept = tokens.gather(1, order).masked_fill(~real.gather(1, order), 0)
        return cls(kept, lengths, (real.cumsum(1) - 1).clamp(min=0), real)

    def columns(self, parts: list[Float[Tensor, "b _ e"]], place: Int[Tensor, "b n"]) -> Float[Tensor, "b t e"]:
        """What the tokens gave, under the columns of the batch; padding shows what the token before it gave.

        `place` is where each token stands in the `parts` side by side.
        """
        whole = torch.cat(parts, dim=1)
        index = place.to(whole.device).gather(1, self.latest)
        straight = torch.arange(index.shape[1], device=whole.device).expand_as(index)
        if whole.shape[1] == index.shape[1] and torch.equal(index, straight):
            return whole
        return whole.gather(1, index[:, :, None].expand(-1, -1, whole.shape[2]))
