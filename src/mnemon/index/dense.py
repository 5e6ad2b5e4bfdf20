"""Exact search in small memories of bfloat16 keys, whose scores are all held for some queries at once."""

import functools
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import BFloat16, Bool, Float, Int, Int16, Int32
from torch import Tensor

from mnemon.index.bounds import LOWEST, below, margin, ordered, reach
from mnemon.index.certified import longest

ROWS = 256  # queries of all heads that are scored at once
GROUPS = 512  # of keys, at least, whose best score is looked at first
MOST = 1 << 14  # keys of a head: their scores for `ROWS` queries are 8 MiB

Rows = Int[Tensor, " r"]


def held(m: int, k: int) -> bool:
    """Whether the scores of m keys may be held, and most groups of them are no candidates."""
    return 2 * GROUPS <= m <= MOST and 8 * k <= GROUPS


def dense_search(
    q: BFloat16[Tensor, "n t d"], keys: BFloat16[Tensor, "n m d"], k: int, valid: Bool[Tensor, "n _ m"] | None
) -> tuple[Float[Tensor, "n t k"], Int[Tensor, "n t k"], Bool[Tensor, "n t"]]:
    """`certified_search` where nothing is rounded but sums, and all of them are held: (scores, ids, certified).

    A little more than k keys are taken by their bfloat16 scores, and scored again in float32. Nothing was missed where
    the best of the others scores below what the k-th best may be, less what rounding may do (`bounds.below`). Queries
    of which this cannot be said take more of the same scores.
    """
    n, t, d = q.shape
    m, step = keys.shape[1], max(1, ROWS // max(t, 1))
    scores, ids = torch.zeros(n, t, k), torch.zeros(n, t, k, dtype=torch.long)
    certified = torch.zeros(n, t, dtype=torch.bool)
    spread = m // GROUPS
    width = -(-m // spread) * spread
    room = torch.empty(2, min(n, step) * min(t, ROWS) * width, dtype=torch.bfloat16)
    for first in range(0, n, step):
        heads = slice(first, first + step)
        some, wide = keys[heads], keys[heads].float()
        hidden = None if valid is None else ~valid[heads]
        reached = longest(some, some, None if hidden is None else hidden.all(1), q.dtype)
        for begun in range(0, t, ROWS):
            part = slice(begun, begun + ROWS)
            asked = q[heads, part]
            unseen = hidden if hidden is None or hidden.shape[1] == 1 else hidden[:, part]
            apart = margin(reach(asked, asked), reached, d, np.zeros((len(asked), 1))).reshape(-1)
            tile = _Tile(_products(asked, some, room[0], width), room[1], spread, unseen)
            for rows, places in tile.taken(k, apart):
                top, where = _best(asked, wide, rows, places, k)
                if len(rows) == len(apart):  # the usual case: no places to be looked up
                    at: tuple[slice | Tensor, slice | Tensor] = heads, part
                    top, where = top.view(len(asked), -1, k), where.view(len(asked), -1, k)
                else:
                    at = first + rows // asked.shape[1], begun + rows % asked.shape[1]
                scores[at], ids[at], certified[at] = top, where, True
    return scores, ids, certified


def _products(
    q: BFloat16[Tensor, "n t d"], keys: BFloat16[Tensor, "n m d"], room: BFloat16[Tensor, " _"], width: int
) -> Int16[Tensor, "n t w"]:
    """The bits of all scores, and below them what fills the last group."""
    n, t, m = len(q), q.shape[1], keys.shape[1]
    scores = room[: n * t * width].view(n, t, width)
    for each, query, key in zip(scores, q, keys, strict=True):
        if m == width:
            torch.mm(query, key.T, out=each)
        else:
            each[:, :m] = query @ key.T
    bits = scores.view(torch.int16)
    bits[..., m:] = LOWEST
    return bits


class _Tile:
    """The scores of some queries, as integers: those above 0 in their order, all of them once that is needed."""

    def __init__(self, bits: Int16[Tensor, "n t w"], room: BFloat16[Tensor, " _"], spread: int, hidden: Tensor | None):
        self.bits, self.room, self.hidden = bits, room[: bits.numel()].view(torch.int16).view(bits.shape), hidden
        self.scores = bits.view(-1, spread, bits.shape[-1] // spread)  # r s g
        self._look()

    def _look(self) -> None:
        if self.hidden is not None:
            self.bits[..., : self.hidden.shape[-1]].masked_fill_(self.hidden, LOWEST)
        self.peaks = self.scores.amax(1)

    def taken(self, k: int, apart: np.ndarray) -> Iterator[tuple[Rows, Int32[Tensor, "r c"]]]:
        """Queries and the keys that hold all that may be among their k best; not of queries that need too many."""
        left = torch.from_numpy(np.isfinite(apart).nonzero()[0])
        few = k + k // 4 + 4
        places, proved, least = self._take(left, few, k, apart)
        if not (least > 0).all():
            ordered(self.bits, self.room)
            self._look()
            places, proved, least = self._take(left, few, k, apart)
        for more in (4 * k, 0):
            if bool(proved.all()):
                yield left, places
                return
            if bool(proved.any()):
                yield left[proved], places[proved]
            left = left[~proved]
            if not more:
                return
            places, proved, _ = self._take(left, max(few + 1, more), k, apart)

    def _take(
        self, rows: Rows, many: int, k: int, apart: np.ndarray
    ) -> tuple[Int32[Tensor, "r c"], Bool[Tensor, " r"], Int16[np.ndarray, " r"]]:
        """The `many` best keys, whether no other may be among the k best, and the least score of what may."""
        all_of_them = len(rows) == len(self.scores)
        peaks, scores = (x if all_of_them else x[rows] for x in (self.peaks, self.scores))
        groups, spread = peaks.shape[1], scores.shape[1]
        group, missed = _largest(peaks, many)
        members = torch.from_numpy(group).long()[:, None].expand(-1, spread, -1)
        candidates = scores.gather(2, members).flatten(1)
        at, second = _largest(candidates, many)
        best = np.take_along_axis(candidates.numpy(), at, 1)
        least = below(np.partition(best, many - k, axis=1)[:, many - k], apart[rows.numpy()])
        member = at // many
        places = np.take_along_axis(group, at - member * many, 1) + member * groups
        gone = best == LOWEST
        if gone.any():
            places[gone] = -1
        places.sort(axis=1)  # what lies side by side is read together
        return torch.from_numpy(places), torch.from_numpy(np.maximum(missed, second) < least), least


def _largest(scores: Int16[Tensor, "r g"], many: int) -> tuple[Int32[np.ndarray, "r c"], Int32[np.ndarray, " r"]]:
    """The places of the `many` largest, and the largest of the others. Score and place make one integer."""
    g = scores.shape[1]
    packed = scores.int().bitwise_left_shift_(16).bitwise_or_(torch.arange(g, dtype=torch.int32)).numpy()
    packed.partition(g - many - 1, axis=1)
    return packed[:, g - many :] & 0xFFFF, packed[:, g - many - 1] >> 16


def _best(
    q: BFloat16[Tensor, "n t d"], keys: Float[Tensor, "n m d"], rows: Rows, places: Int32[Tensor, "r c"], k: int
) -> tuple[Float[Tensor, "r k"], Int[Tensor, "r k"]]:
    """Score these keys again, in float32; the best come first. A place below 0 is no key's."""
    _announced()
    none = places < 0
    places = places.clamp_min(0)
    t = q.shape[1]
    head = rows // t
    asked = q.flatten(0, 1)[rows].float()
    scores = torch.empty(places.shape)
    for h in range(len(q)):
        here = slice(None) if len(q) == 1 else slice(*torch.searchsorted(head, torch.tensor([h, h + 1])).tolist())
        if len(places[here]):
            scores[here] = _sampled(asked[here], keys[h], places[here])
    scores.masked_fill_(none, -torch.inf)
    bits = scores.numpy().view(np.int32)
    packed = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64) << 32 | np.arange(places.shape[1])
    packed.sort(axis=1)
    order = torch.from_numpy(packed[:, : -k - 1 : -1] & 0xFFFFFFFF)
    return scores.gather(1, order), places.gather(1, order).long()


def _sampled(q: Float[Tensor, "r d"], keys: Float[Tensor, "m d"], places: Int32[Tensor, "r c"]) -> Tensor:
    """Each query's products with the keys at its places, not copied: 0.3 ms for 512 x 40, or 0.9."""
    begun = torch.arange(0, places.numel() + 1, places.shape[1], dtype=torch.int32)
    sample = _sparse(begun, places.reshape(-1), (len(q), len(keys)))
    scores: Tensor = torch.sparse.sampled_addmm(sample, q, keys.T, beta=0).values()
    return scores.view(places.shape)


def _sparse(begun: Tensor, columns: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(begun, columns, torch.zeros(len(columns)), shape, check_invariants=False)


@functools.cache
def _announced() -> None:
    """PyTorch says once in a process that its sparse tensors may change: not to our users, whom it is nothing to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support", category=UserWarning)
        _sparse(torch.tensor([0, 0]), torch.tensor([], dtype=torch.long), (1, 1))
