"""Persistent vectors of a host: keys and values that every query of a layer sees, before whatever it reads."""

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from mnemon.ops import Partial, joint, partial_dense


class Persistent(nn.Module):
    """p keys and values a key/value head, merged with a layer's own attention in one softmax.

    o = softmax([q k_own^T, q k^T]) [v_own, v], with the host's rotated q: as keys that stand before its position 0
    (persistent vectors, arXiv 1907.01470, equation 10; per layer, as in prefix tuning, arXiv 2101.00190). `gate` g [h]
    makes it (1 - g) o_own + g o, where g = 0 leaves the host exactly as it is (zero-initialised attention, arXiv
    2303.16199, has such a gate on a softmax of its own); without a gate it is o.
    """

    def __init__(self, keys: Float[Tensor, "g p d"], values: Float[Tensor, "g p d"], gate: Float[Tensor, " h"] | None):
        super().__init__()
        self.keys, self.values = nn.Parameter(keys), nn.Parameter(values)
        self.gate = None if gate is None else nn.Parameter(gate)

    def __len__(self) -> int:
        return self.keys.shape[1]

    def joined(
        self, own: Partial, o: Float[Tensor, "b h t d"], q: Float[Tensor, "b h t d"], softcap: float | None
    ) -> Partial:
        """The layer's `own` attention with these; `o` is what the host makes of its own, `q` carries the scale."""
        b, g = len(q), len(self.keys)
        keys, values = (repeat(x.to(q.dtype), "g p d -> b g p d", b=b) for x in (self.keys, self.values))
        part = partial_dense(rearrange(q, "b (g j) t d -> b g (j t) d", g=g), keys, values, softcap=softcap)
        assert part.z is not None
        t = q.shape[2]
        theirs = Partial(
            rearrange(part.o, "b g (j t) d -> b (g j) t d", t=t), rearrange(part.z, "b g (j t) -> b (g j) t", t=t)
        )
        both = joint([own, theirs])
        if self.gate is None:
            return both
        assert own.z is not None
        assert both.z is not None
        share = self.gate[:, None]
        z = (1 - share) * own.z + share * both.z
        return Partial(((1 - share[..., None]) * o + share[..., None] * both.o).to(o.dtype), z)


def random_persistent(heads: int, groups: int, size: int, dim: int, like: Tensor) -> Persistent:
    """Random vectors under a gate of 0: without effect until they have learnt. Keys N(0, 1/d), values N(0, 1/p)."""
    keys = torch.randn(groups, size, dim, dtype=like.dtype, device=like.device) / dim**0.5
    values = torch.randn(groups, size, dim, dtype=like.dtype, device=like.device) / size**0.5
    return Persistent(keys, values, torch.zeros(heads, dtype=like.dtype, device=like.device))
