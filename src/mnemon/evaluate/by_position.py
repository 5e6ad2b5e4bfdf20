import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnemon.evaluate.scored import Scored

FIRST = 128


def by_position(documents: Sequence[Scored]) -> list[dict[str, Any]]:
    """Bits per byte of the tokens 0-127 of all documents, 128-255, 256-511 and so on, `to` not included."""
    positions, nats, sizes = (
        np.concatenate([getattr(each, name) for each in documents]) for name in ("positions", "nats", "bytes")
    )
    bins = []
    start, end = 0, FIRST
    while start <= positions.max():
        inside = (positions >= start) & (positions < end)
        n_bytes = int(sizes[inside].sum())
        if n_bytes:
            bits = float(nats[inside].sum(dtype=np.float64)) / math.log(2)
            bins.append({"from": start, "to": end, "bits_per_byte": bits / n_bytes, "tokens": int(inside.sum())})
        start, end = end, 2 * end
    return bins
