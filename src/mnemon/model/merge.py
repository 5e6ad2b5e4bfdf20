from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from mnemon.ops import Partial, added, beside, gated, joint
from mnemon.pools import Merge


def merge(
    parts: Mapping[str, Partial | None], merges: Mapping[str, Merge], gate: Float[Tensor, " h"] | None, over_all: bool
) -> Partial:
    """The partial results of a layer's pools as one, each merged in the way that its pool says.

    `parts` has the context and every pool beside it, None where one holds nothing at all. `gate` is g; it mixes the
    gated memory with the context, or with all that this head sees, persistent vectors included (`over_all`).
    """

    def of(kind: Merge) -> list[Partial]:
        return [part for name, part in parts.items() if part is not None and merges.get(name) == kind]

    def mixed(rest: Partial) -> Partial:
        return rest if gate is None else gated(rest, next(iter(of("gated")), None), gate)

    context = parts["context"]
    assert context is not None
    whole = joint([context if over_all else mixed(context), *of("joint")])
    whole = added([whole, *of("added")])
    return beside([mixed(whole) if over_all else whole, *of("beside")])
