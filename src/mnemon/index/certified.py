import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import BFloat16, Bool, Float, Int, Int16, Int64
from torch import Tensor

from mnemon.index.bounds import LOWEST, Reach, below, centre, margin, ordered, reach, value

ROWS = 256  # queries of all heads that are scored at once
TILE = 1 << 20  # scores at once: 2 MiB
BLOCK = 1 << 16  # keys at once
GROUP = 8  # keys whose best score is looked at first
TOGETHER = 1 << 12  # queries of a head that share one rounding of a block of keys
CANDIDATES = 12  # times as many as neighbours: a query that needs more is not certified
CENTRED = 64  # queries of a head from which a centre is worth its subtraction
NONE = (1 << 15) - 1  # above every score


def fits(m: int, k: int) -> bool:
    """Whether m keys are many enough for most to be left out at a glance."""
    return m >= 1024 and m >= 4 * GROUP * k and 1 <= k <= 256


@functools.cache
def rounds_fast() -> bool:
    """Whether this CPU multiplies bfloat16 numbers faster than float32 ones, as PyTorch uses it."""
    return bool(torch.cpu._is_avx512_bf16_supported())


@dataclass
class _Part:
    """Some queries of some heads, one a row, and what was found for them so far. Scores are ordered integers.

    `peaks`: the best score that each bucket has had, a bucket being the groups of one place in every block; `least`:
    the lowest score that may still be among the best; `found`: row, score and id of what reached it, packed into one
    integer, in all `count` of a row.
    """

    q: Float[Tensor, "n t d"]
    rounded: BFloat16[Tensor, "n t d"]
    reach: Reach
    peaks: Int16[np.ndarray, "r g"]
    least: Int16[np.ndarray, " r"]
    count: Int64[np.ndarray, " r"]
    lost: Bool[np.ndarray, " r"]
    found: list[Int64[np.ndarray, " _"]] = field(default_factory=list)


def certified_search(
    q: Float[Tensor, "n t d"], keys: Float[Tensor, "n m d"], k: int, valid: Bool[Tensor, "n _ m"] | None
) -> tuple[Float[Tensor, "n t k"], Int[Tensor, "n t k"], Bool[Tensor, "n t"]]:
    """The k best keys of every query by float32 scores, found by bfloat16 scores: (scores, ids, certified).

    A lower bound of the k-th best true score, less how far rounding may lead astray (`bounds`), tells which bfloat16
    scores are too low for a key to be among the best; all others are scored again in float32. So a result is exact
    where there were at most 12 k of these, which `certified` tells. The bound is the k-th best of the best scores of
    k or more buckets, and rises from block to block.
    """
    n, t, _ = q.shape
    scores, ids = q.new_zeros(n, t, k, dtype=torch.float32), torch.zeros(n, t, k, dtype=torch.long)
    certified = torch.zeros(n, t, dtype=torch.bool)
    step = max(1, ROWS // t)
    for first, begun in itertools.product(range(0, n, step), range(0, t, TOGETHER)):
        heads, queries = slice(first, first + step), slice(begun, begun + TOGETHER)
        seen = valid if valid is None else valid[heads, queries if valid.shape[1] > 1 else slice(None)]
        tile = _Tile(q[heads, queries], keys[heads], k, seen)
        for at, (top, where, proved) in tile.results():
            part = slice(begun + at.start, begun + at.stop)
            scores[heads, part], ids[heads, part], certified[heads, part] = top, where, proved
    return scores, ids, certified


class _Tile:
    """The search of some heads' queries: one block of keys after the other, each for one part of the queries."""

    def __init__(self, q: Tensor, keys: Tensor, k: int, valid: Tensor | None):
        n, t, _ = q.shape
        self.keys, self.k, self.valid = keys, k, valid
        self.places = [slice(at, min(at + ROWS, t)) for at in range(0, t, ROWS)]
        rows, m = n * min(t, ROWS), keys.shape[1]
        blocks = -(-m // min(BLOCK, max(TILE // rows, 4 * GROUP * k)))
        self.width = -(-m // (blocks * GROUP)) * GROUP
        self.buckets = self.width // GROUP
        self.room = torch.empty(2, rows * self.width, dtype=torch.bfloat16)
        self.places_of_hits = np.empty((rows * min(CANDIDATES * k, self.buckets), GROUP), np.int64)
        self.parts = [self._part(q[:, place]) for place in self.places]
        self.shift = none = np.zeros((n, 1))
        self.reach, self.centre = Reach(none, none), centre(keys, valid) if t >= CENTRED else None
        if self.centre is not None:
            self.shift = self.centre.norm(dim=-1, keepdim=True).double().numpy()

    def _part(self, q: Tensor) -> _Part:
        rows, rounded = q.shape[0] * q.shape[1], q.bfloat16()
        peaks, least = np.full((rows, self.buckets), LOWEST, np.int16), np.full(rows, LOWEST + 1, np.int16)
        return _Part(q, rounded, reach(q, rounded), peaks, least, np.zeros(rows, np.int64), np.zeros(rows, bool))

    def results(self) -> Iterator[tuple[slice, tuple[Tensor, Tensor, Tensor]]]:
        for start in range(0, self.keys.shape[1], self.width):
            self._block(slice(start, min(start + self.width, self.keys.shape[1])))
        for place, part in zip(self.places, self.parts, strict=True):
            yield place, self._best(part)

    def _block(self, block: slice) -> None:
        """Let all parts look at a block of keys."""
        keys = self.keys[:, block]
        hidden = None if self.valid is None else ~self.valid[..., block]
        if hidden is not None:
            unseen = hidden.all(1)
            if bool(unseen.all()):
                return
            hidden = hidden if bool(hidden.any()) else None
        keys = keys if self.centre is None else keys.float() - self.centre[:, None]
        rounded = keys.bfloat16()
        lengths = longest(keys, rounded, None if hidden is None else unseen, self.parts[0].q.dtype)
        self.reach = self.reach.largest(lengths)
        for place, part in zip(self.places, self.parts, strict=True):
            shown = hidden if hidden is None or hidden.shape[1] == 1 else hidden[:, place]
            self._look(part, rounded, shown, block.start)

    def _look(self, part: _Part, keys: Tensor, hidden: Tensor | None, start: int) -> None:
        """Note down which keys of a block may be among the best."""
        bits, apart = self._products(part, keys), self._apart(part)
        self._lose(part, ~np.isfinite(apart))
        lowest = part.least
        for again in (False, True):  # first as if nothing below 0 could be among the best
            if again:
                ordered(bits, self.room[1, : bits.numel()].view(torch.int16).view(bits.shape))
            bits[..., keys.shape[1] :] = LOWEST
            if hidden is not None:
                bits[..., : keys.shape[1]].masked_fill_(hidden, LOWEST)
            peaks = bits.view(-1, GROUP, self.buckets).amax(1).numpy()
            best = np.maximum(part.peaks, peaks)
            kth = np.partition(best, self.buckets - self.k, axis=1)[:, self.buckets - self.k]
            part.least = np.where(part.lost, NONE, np.maximum(lowest, below(kth, apart)))
            if (part.least > 0).all():
                break
        part.peaks = best
        self._note(part, bits.view(-1).numpy(), peaks, start)

    def _note(self, part: _Part, scores: np.ndarray, peaks: np.ndarray, start: int) -> None:
        """Note down what of a block's scores is high enough."""
        limit, rows = CANDIDATES * self.k, len(peaks)
        hits = np.flatnonzero(peaks >= part.least[:, None])
        row = hits // self.buckets
        many = np.bincount(row, minlength=rows) > limit
        if many.any():
            self._lose(part, many)
            hits = hits[~many[row]]
            row = hits // self.buckets
        at = self.places_of_hits[: len(hits)]
        np.add((hits + row * (self.width - self.buckets))[:, None], np.arange(GROUP) * self.buckets, out=at)
        score = scores.take(at)
        good = np.flatnonzero(score >= part.least[row][:, None])
        at, score = at.reshape(-1)[good], score.reshape(-1)[good]
        row = at // self.width
        part.found.append((row << 48) | ((NONE - score.astype(np.int64)) << 32) | (at - row * self.width + start))
        part.count += np.bincount(row, minlength=rows)
        if (part.count > limit).any():
            self._sift(part)

    def _products(self, part: _Part, keys: Tensor) -> Int16[Tensor, "n t w"]:
        """The bits of the scores of a block's keys."""
        n, t, _ = part.q.shape
        w = keys.shape[1]
        scores = self.room[0, : n * t * self.width].view(n, t, self.width)
        for each, query, key in zip(scores, part.rounded, keys, strict=True):
            if w == self.width:
                torch.mm(query, key.T, out=each)
            else:
                each[:, :w] = query @ key.T
        return scores.view(torch.int16)

    def _apart(self, part: _Part) -> Float[np.ndarray, " r"]:
        return margin(part.reach, self.reach, part.q.shape[-1], self.shift).reshape(-1)

    def _lose(self, part: _Part, rows: np.ndarray) -> None:
        """Give up these rows: they are to be searched without rounding."""
        if not rows.any():
            return
        part.lost |= rows
        part.least[rows], part.count[rows] = NONE, 0
        part.found = [found[~rows[found >> 48]] for found in part.found]

    def _sift(self, part: _Part) -> None:
        """Drop what was noted down and is no longer good enough; give up rows that even then have too many."""
        found = np.concatenate(part.found)
        row, score = _unpacked(found)
        good = score >= part.least[row]
        part.found, part.count = [found[good]], np.bincount(row[good], minlength=len(part.least))
        self._lose(part, part.count > CANDIDATES * self.k)

    def _best(self, part: _Part) -> tuple[Tensor, Tensor, Tensor]:
        """Score the candidates again, in float32."""
        n, t, _ = part.q.shape
        scores, ids = torch.full((n * t, self.k), -torch.inf), torch.zeros(n * t, self.k, dtype=torch.long)
        found = np.sort(np.concatenate([*part.found, np.empty(0, np.int64)]))
        row, score = _unpacked(found)
        count = np.bincount(row, minlength=n * t)
        first = count.cumsum() - count
        kth = score[np.minimum(first + self.k - 1, len(score) - 1)] if len(score) else part.least
        least = np.where(count < self.k, LOWEST + 1, below(kth.astype(np.int16), self._apart(part)))
        needed = np.bincount(row[score >= least[row]], minlength=n * t)
        order = np.argsort(needed, kind="stable")
        for begun in range(0, n * t if len(found) else 0, ROWS // 4):
            rows = order[begun : begun + ROWS // 4]
            width = max(self.k, needed[rows].max())
            there = np.arange(width) < needed[rows, None]
            at = (found.take(first[rows, None] + np.arange(width), mode="clip") & 0xFFFFFFFF) * there
            scores[rows], ids[rows] = self._exactly(part, rows, at, there)
        shape = (n, t, self.k)
        return scores.view(shape), ids.view(shape), torch.from_numpy(~part.lost).view(n, t)

    def _exactly(self, part: _Part, rows: np.ndarray, ids: np.ndarray, there: np.ndarray) -> tuple[Tensor, Tensor]:
        n, t, d = part.q.shape
        stride = self.keys.stride(0) // d
        flat = self.keys.as_strided(((n - 1) * stride + self.keys.shape[1], d), (d, 1))
        places = torch.from_numpy((ids + (rows // t * stride)[:, None]).reshape(-1))
        keys = flat.index_select(0, places).view(*ids.shape, d).float()
        q = part.q.reshape(n * t, d)[torch.from_numpy(rows)].float()
        scores = torch.bmm(q.unsqueeze(1), keys.mT).squeeze(1).masked_fill_(~torch.from_numpy(there), -torch.inf)
        bits = scores.numpy().view(np.int32)
        packed = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64) << 32 | np.arange(ids.shape[1])
        packed.sort(axis=1)
        best = torch.from_numpy(packed[:, : -self.k - 1 : -1] & 0xFFFFFFFF)
        return scores.gather(1, best), torch.from_numpy(ids).gather(1, best)


def _unpacked(found: Int64[np.ndarray, " p"]) -> tuple[Int64[np.ndarray, " p"], Int64[np.ndarray, " p"]]:
    """The rows and the scores."""
    return found >> 48, NONE - ((found >> 32) & 0xFFFF)


def longest(keys: Tensor, rounded: Tensor, unseen: Tensor | None, asked: torch.dtype) -> Reach:
    """The largest `Reach` of each head's keys that any query may see."""
    if unseen is not None:
        keys, rounded = (x.masked_fill(unseen.unsqueeze(-1), 0) for x in (keys, rounded))
    if keys.dtype == asked == torch.bfloat16:  # nothing is rounded: it matters little how long they are
        bits = rounded.reshape(len(keys), -1).view(torch.int16).numpy()  # as signed numbers, and as unsigned ones
        largest = value(np.maximum(bits.max(1), (bits.view(np.uint16).max(1) & 0x7FFF).astype(np.int16)))
        return Reach(largest[:, None] * keys.shape[-1] ** 0.5, np.zeros((len(keys), 1)))
    each = reach(keys, rounded)
    return Reach(each.length.max(1, keepdims=True), each.lost.max(1, keepdims=True))
