from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mnemon.index import RingStore
from mnemon.model.state import MemoryState
from mnemon.pools import KNNState


@dataclass(frozen=True)
class Drift:
    """Cosine of stored keys with what the present weights make of the same tokens, over entries of one age.

    Ages are in segments: 1 was written last. `ages`: from the first to the second, both included.
    """

    ages: tuple[int, int]
    entries: int
    cosine: float


def key_drift(state: MemoryState, again: MemoryState) -> list[Drift]:
    """How far the keys in `state` are from those in `again`, which has read the same tokens with the present weights.

    cos = k . k' / (|k| |k'|), its mean over layers, rows, heads and entries, by age: 1, 2 to 3, 4 to 7 and so on. Where
    keys are normalised, this says how far a query of today misses an entry of then (arXiv 2203.08913, section 3.2,
    where the effect is suspected and not measured).
    """
    cosines, ages = [], []
    for layer, other in zip(state.states, again.states, strict=True):
        mine, theirs = layer.get("knn"), other.get("knn")
        if not (isinstance(mine, KNNState) and isinstance(theirs, KNNState)):
            continue
        if isinstance(mine.store, RingStore) and isinstance(theirs.store, RingStore):
            cosine, positions = _compared(mine.store, theirs.store)
            there = positions >= 0
            cosines.append(cosine.mean(1)[there])
            ages.append(((state.position[:, None] - 1 - positions.cpu()) // state.segment + 1)[there.cpu()])
    if not cosines:
        return []
    cosine, age = torch.cat(cosines).cpu(), torch.cat(ages)
    found, first = [], 1
    while first <= int(age.max() if len(age) else 0):
        chosen = cosine[(age >= first) & (age < 2 * first)]
        if len(chosen):
            found.append(Drift((first, 2 * first - 1), len(chosen), float(chosen.mean())))
        first *= 2
    return found


def _compared(mine: RingStore, theirs: RingStore) -> tuple[Tensor, Tensor]:
    """Cosines [b h c] of entries with the same stream position, and these [b c]; -1 where there is none."""
    (k, at), (k_again, at_again) = _in_order(mine), _in_order(theirs)
    if not torch.equal(at, at_again):
        raise ValueError("these states have not read the same tokens")
    return functional.cosine_similarity(k.float(), k_again.float(), dim=-1), at


def _in_order(store: RingStore) -> tuple[Tensor, Tensor]:
    """Keys in the order of their positions, as many as the fullest row has, the newest last; and the positions."""
    slots = store.used()
    at = store.positions[:, :slots].masked_fill(~store.valid(slots), -1)
    count = int((at >= 0).sum(-1).max()) if slots else 0
    at, order = at.sort(dim=-1)
    at, order = at[:, slots - count :], order[:, slots - count :]
    index = order[:, None, :, None].expand(-1, store.keys.shape[1], -1, store.keys.shape[3])
    return store.keys.gather(2, index), at
