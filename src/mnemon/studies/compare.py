from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mnemon.evaluate import Scored, bootstrap


def mean_over_seeds(readings: Sequence[Sequence[Scored]]) -> list[Scored]:
    """The same documents read by models of several seeds: each token's mean loss."""
    return [
        replace(each[0], nats=np.mean([scored.nats for scored in each], axis=0)) for each in zip(*readings, strict=True)
    ]


def between(documents: Sequence[Scored], first: int, last: int | None = None) -> list[Scored]:
    """The tokens from position `first` to before `last` of those documents that have any."""
    kept = []
    for scored in documents:
        inside = (scored.positions >= first) & (scored.positions < (np.inf if last is None else last))
        if inside.any():
            kept.append(
                replace(
                    scored, positions=scored.positions[inside], nats=scored.nats[inside], bytes=scored.bytes[inside]
                )
            )
    return kept


def compare(name: str, text: str, a: Sequence[Scored], b: Sequence[Scored]) -> dict[str, Any]:
    """The claim that `a` has the lower loss, with the paired bootstrap interval that carries it or does not."""
    found = bootstrap(a, b, seed=0)
    return {
        "name": name,
        "bits_per_byte": found.bits_per_byte,
        "interval": [found.low, found.high],
        "documents": found.documents,
        "holds": found.high < 0,
        "text": text,
    }
