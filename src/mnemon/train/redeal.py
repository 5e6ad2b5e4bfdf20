"""What the lanes of a checkpoint remember, dealt to the lanes of this rank."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mnemon.model import rows_cut, rows_joined
from mnemon.train.checkpoint import Checkpoint
from mnemon.train.ranks import Ranks

Tensors = dict[str, Tensor]


def remembered(checkpoint: Checkpoint, ranks: Ranks, accumulate: int) -> tuple[Tensors, Tensors, list[str]]:
    """`memory` and `history` of this rank as a `Trainer` names them, and the stores that had to be left behind.

    Lanes are numbered through: rank by rank, in each micro-batch by micro-batch. So with another number of ranks every
    lane keeps its document, and with it all it remembers.
    """
    memory, history = (checkpoint.parts.get(group, []) for group in ("memory", "history"))
    if checkpoint.ranks == ranks.size:
        own = [dict(part[ranks.rank]) if part else {} for part in (memory, history)]
        return own[0], own[1], []
    states = [(part, i) for part in memory for i in range(accumulate)]
    rows = [len(part[f"{i}.position"]) for part, i in states]
    each, first = sum(rows) // (ranks.size * accumulate), ranks.share(sum(rows)).start
    read = [(part, i) for part in history for i in range(accumulate)]
    found: Tensors = {}
    pieces: Tensors = {}
    lost: list[str] = []
    for i in range(accumulate):
        begin = first + i * each
        overlap = [n for n in range(len(rows)) if sum(rows[:n]) < begin + each and sum(rows[: n + 1]) > begin]
        skipped = sum(rows[: overlap[0]])
        joined, left = rows_joined([_under(*states[n]) for n in overlap])
        lost += left
        cut = rows_cut(joined, begin - skipped, begin + each - skipped)
        found |= {f"{i}.{name}": tensor for name, tensor in cut.items()}
        pasts = [_under(*read[n]) for n in overlap] if read else []
        for name in pasts[0] if pasts else ():
            lanes = torch.cat([past[name] for past in pasts], dim=1)  # pieces, lanes
            pieces[f"{i}.{name}"] = lanes[:, begin - skipped : begin + each - skipped].clone()
    return found, pieces, lost


def _under(part: Mapping[str, Tensor], i: int) -> Tensors:
    return {name.removeprefix(f"{i}."): part[name] for name in part if name.startswith(f"{i}.")}
