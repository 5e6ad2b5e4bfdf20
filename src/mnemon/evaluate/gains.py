from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from mnemon.evaluate.identifiers import Name, name_of

TIMES = ("never before", "once before", "2-3 times", "4-7 times", "8-15 times", "16 times or more")


def gains(
    labels: Sequence[str], group: Int64[np.ndarray, " n"], nats: Mapping[str, np.ndarray], first: int
) -> list[dict[str, Any]]:
    """For each group of tokens from number `first` on: how many, their mean loss with memory, and what it gains.

    `gain` is the mean loss in each other reading less that with memory, in nats a token; `share` what the group has of
    the whole gain against no memory (negative where memory harms it), null where there is none.
    """
    predicted = np.isfinite(nats["memory"]) & (np.arange(len(group)) >= first)
    whole = float((nats["none"] - nats["memory"])[predicted].sum())
    rows = []
    for index, label in enumerate(labels):
        chosen = predicted & (group == index)
        if not chosen.any():
            continue
        better = {name: each[chosen] - nats["memory"][chosen] for name, each in nats.items() if name != "memory"}
        rows.append(
            {
                "label": label,
                "tokens": int(chosen.sum()),
                "nats_per_token": float(nats["memory"][chosen].mean()),
                "gain": {name: float(each.mean()) for name, each in better.items()},
                "share": float(better["none"].sum()) / whole if whole else None,
            }
        )
    return rows


def rarity(found: Sequence[Name], tokens: int) -> Int64[np.ndarray, " n"]:
    """For each token of a name, how often the name had occurred in the document: an index into `TIMES`; -1 else."""
    owner = name_of(found, tokens)
    times = np.array([min(name.before.bit_length(), len(TIMES) - 1) for name in found], np.int64)
    return np.where(owner >= 0, times[owner] if len(found) else -1, -1)
