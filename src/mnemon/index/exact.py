import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.index import kernel
from mnemon.index.certified import certified_search, fits, rounds_fast
from mnemon.index.dense import dense_search, held
from mnemon.ops.accelerated import accelerated, kernels

TILE_BYTES = {"cpu": 1 << 21, "cuda": 1 << 29}  # scores held at once: a core's cache, or a modest part of a GPU
QUERIES = {"cpu": 256, "cuda": 1 << 13}  # of one head, scored at once
BLOCK = 1 << 16  # keys scored at once for one query
FEW = 4  # queries of one head; for so few, a float32 product is faster with the keys on its left
GROUPS = 16  # keys of one group in two-stage selection
MANY = 16  # queries of one head from which the keys' rounding is paid back by a kernel; four times as many without
DENSE = 128  # queries of one head from which all scores of a small memory are held
WIDENED = 1 << 11  # keys of a single query that are widened at once: they stay in a core's cache
SMALL = 1 << 10  # keys that are selected from in one stage anyway

Certify = Callable[[Tensor, Tensor, int, Tensor | None], tuple[Tensor, Tensor, Tensor]]


def exact_search(
    queries: Float[Tensor, "*b h t d"],
    keys: Float[Tensor, "*b h m d"],
    top_k: int,
    valid: Bool[Tensor, "..."] | None = None,
) -> tuple[Float[Tensor, "*b h t k"], Int[Tensor, "*b h t k"]]:
    """The `top_k` keys of largest inner product for every query, best first: (scores, ids).

    scores_tj = q_t . k_j, summed at least in float32 whatever keys are stored in; k = min(top_k, m). `valid` (broadcast
    to [*b h t m]) leaves entries out; where fewer than k remain the score is -inf and the id is to be ignored. Ids are
    always within 0..m-1. The whole score matrix is never held: heads are taken a few at a time and keys in blocks.
    On a CPU, where it is faster, keys are scored in bfloat16 first; what is returned is the same (`proven_search`).
    On a GPU a kernel of our own answers, which keeps candidates alone.
    Deviation: where that kernel is not to be had, on other devices than a CPU scores are in the keys' dtype.
    """
    if accelerated(keys) and (fused := kernels("mnemon.index.triton_search")).fits(keys, top_k):
        found: tuple[Tensor, Tensor] = fused.streamed_search(queries, keys, top_k, valid)
        return found
    return proven_search(queries, keys, top_k, valid)[:2]


def proven_search(
    queries: Float[Tensor, "*b h t d"],
    keys: Float[Tensor, "*b h m d"],
    top_k: int,
    valid: Bool[Tensor, "..."] | None = None,
    certify: Certify | None = None,
) -> tuple[Float[Tensor, "*b h t k"], Int[Tensor, "*b h t k"], Bool[Tensor, "*b h t"]]:
    """`exact_search`, and for which queries bfloat16 scores with a bound of their error were enough.

    The others were searched in full: those whose bound told too little, or all where nothing is rounded first.
    `certify`: `certified_search` or `kernel_search`, where it is not to be chosen by shape.
    """
    *lead, t, d = queries.shape
    m, k = keys.shape[-2], min(top_k, keys.shape[-2])
    with torch.autocast("cpu", enabled=False):  # which would round the products that are to be exact
        certify = certify or _certifier(queries, keys, k)
        if certify is None:
            searched = by_tiles(queries, keys, k, valid, _Search(), _summed(keys))
            return *searched, torch.zeros(queries.shape[:-1], dtype=torch.bool, device=queries.device)
        n = math.prod(lead)
        q, flat, mask = queries.detach().reshape(n, t, d), keys.detach().reshape(n, m, d), _mask(valid, lead, m)
        scores, ids, certified = certify(q, flat, k, mask)
        for head in (~certified).any(1).nonzero().flatten().tolist():
            left = (~certified[head]).nonzero().flatten()
            seen = mask if mask is None else mask[head, left if mask.shape[1] > 1 else slice(None)]
            top, where = by_tiles(q[head, left][None], flat[head : head + 1], k, seen, _Search(), torch.float32)
            scores[head, left], ids[head, left] = top[0], where[0]
        return scores.view(*lead, t, k), ids.view(*lead, t, k), certified.view(*lead, t)


def _certifier(queries: Tensor, keys: Tensor, k: int) -> Certify | None:
    """How to search in bfloat16 first; None where that is not faster.

    4096 queries, 65,536 keys, d 64, float32, one core: 0.20 s, and 1.08 s in float32 alone. For a few queries most of
    the time goes into reading keys, and float32 keys would be read to be rounded (1 query: 1.5 ms against 20); those in
    bfloat16 need not be widened, which pays from about 65,536 on, of all heads together. Where keys and queries are
    in bfloat16, all scores of a small memory are held. d 64, k 32, one core, no kernel, ms of processor time:

    heads x queries x keys  certified_search  dense_search  (products alone)
    16 x 512 x 8192         141               127           (27)
    16 x 128 x 8192         52                36            (8)
    8 x 512 x 2048          37                28            (4)
    8 x 512 x 16,384        117               80            (30)
    4 x 1024 x 4096         49                36            (6)
    """
    t, few = queries.shape[-2], queries.shape[-2] < 4 * MANY
    pays = not few or (t > 1 and keys.numel() // keys.shape[-1] >= BLOCK)
    narrow = keys.dtype == queries.dtype == torch.bfloat16 and pays
    dtypes = {queries.dtype, keys.dtype} <= {torch.bfloat16, torch.float32}
    if keys.device.type != "cpu" or not dtypes or not t or not fits(keys.shape[-2], k):
        return None
    if t >= MANY and kernel.built() is not None:
        return kernel.kernel_search
    if narrow and t >= DENSE and held(keys.shape[-2], k) and rounds_fast():
        return dense_search
    return certified_search if (narrow or not few) and rounds_fast() else None


def _summed(keys: Tensor) -> torch.dtype:
    return torch.promote_types(keys.dtype, torch.float32) if keys.device.type == "cpu" else keys.dtype


def _mask(valid: Tensor | None, lead: Sequence[int], m: int) -> Tensor | None:
    """`valid` as [n _ m]: for each head, alike for all queries or not."""
    if valid is None:
        return None
    valid = valid[None] if valid.ndim == 1 else valid
    return valid.expand(*lead, valid.shape[-2], m).reshape(math.prod(lead), valid.shape[-2], m)


Tile = Callable[[Tensor, Tensor, int, Tensor | None], tuple[Tensor, Tensor]]


def by_tiles(
    queries: Float[Tensor, "*b h t d"],
    keys: Float[Tensor, "*b h m d"],
    k: int,
    valid: Bool[Tensor, "..."] | None,
    search: Tile,
    dtype: torch.dtype | None = None,
) -> tuple[Float[Tensor, "*b h t k"], Int[Tensor, "*b h t k"]]:
    """`search(q [n t d], keys [n m d], k, valid [n t m])` over all rows and heads, a few at a time.

    Queries and scores are in `dtype`, which is that of the keys unless it is told.
    """
    *lead, t, d = queries.shape
    m = keys.shape[-2]
    n = math.prod(lead)
    flat_q = queries.detach().to(dtype or keys.dtype).reshape(n, t, d)
    flat_k = keys.detach().reshape(n, m, d)
    mask = _mask(valid, lead, m)
    scores = flat_q.new_empty(n, t, k)
    ids = torch.empty(n, t, k, dtype=torch.long, device=keys.device)
    budget = TILE_BYTES.get(keys.device.type, TILE_BYTES["cpu"])
    at_once = min(t, QUERIES.get(keys.device.type, QUERIES["cpu"]))
    step = max(1, budget // max(1, at_once * min(m, BLOCK) * flat_q.element_size()))
    for start, first in itertools.product(range(0, n if k else 0, step), range(0, t, max(1, at_once))):
        tile, part = slice(start, start + step), slice(first, first + at_once)
        seen = mask if mask is None else mask[tile, part if mask.shape[1] > 1 else slice(None)]
        scores[tile, part], ids[tile, part] = search(flat_q[tile, part], flat_k[tile], k, seen)
    return scores.view(*lead, t, k), ids.view(*lead, t, k)


class _Search:
    """The scores and ids of one tile after the other, block by block of keys.

    Scores are always put into the same place: for fresh pages the system takes as long as the product does.
    """

    def __init__(self) -> None:
        self._room = torch.empty(0)

    def __call__(self, q: Tensor, keys: Tensor, k: int, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        best: tuple[Tensor, Tensor] | None = None
        for block in _blocks(keys.shape[1]):
            scores = self._products(q, keys[:, block])
            if valid is not None:
                scores = scores.masked_fill_(~valid[..., block], -math.inf)
            top, ids = select(scores, min(k, scores.shape[-1]))
            if best is not None:
                top, ids = torch.cat([best[0], top], -1), torch.cat([best[1], ids + block.start], -1)
                top, order = top.topk(min(k, top.shape[-1]), dim=-1)
                ids = ids.gather(-1, order)
            best = top, ids
        assert best is not None
        return best

    def _products(self, q: Float[Tensor, "n t d"], keys: Float[Tensor, "n m d"]) -> Float[Tensor, "n t m"]:
        """q k^T, in the way that is fastest for the shape.

        65,536 keys of 4 heads, d 64, one core, 4 queries: in float32 13 ms, or 5.4 with the keys on its left. Keys in
        less than float32 are widened, those of one block and head at a time.
        """
        shape = (len(q), q.shape[1], keys.shape[1])
        if self._room.numel() < math.prod(shape) or self._room.dtype != q.dtype:
            self._room = q.new_empty(math.prod(shape))
        scores = self._room[: math.prod(shape)].view(shape)
        few = q.shape[1] <= FEW and q.dtype == torch.float32
        if keys.dtype == q.dtype and (keys.device.type != "cpu" or not few):
            return torch.bmm(q, keys.mT, out=scores)
        for each, query, key in zip(scores, q, keys, strict=True):
            if few and len(query) == 1 and key.dtype == q.dtype:
                torch.mv(key, query[0], out=each[0])
            elif few and len(query) == 1:
                for at in range(0, len(key), WIDENED):
                    torch.mv(key[at : at + WIDENED].to(q.dtype), query[0], out=each[0, at : at + WIDENED])
            elif few:
                each.copy_((key.to(q.dtype) @ query.T).T)
            else:
                torch.mm(query, key.to(q.dtype).T, out=each)
        return scores


def _blocks(m: int) -> Iterator[slice]:
    """Slices of `BLOCK` keys; the last whole groups stand apart from the keys that fill none."""
    whole = m if m < SMALL else m // GROUPS * GROUPS
    for start in range(0, whole, BLOCK):
        yield slice(start, min(start + BLOCK, whole))
    if whole < m:
        yield slice(whole, m)


def select(scores: Float[Tensor, "*b m"], k: int) -> tuple[Float[Tensor, "*b k"], Int[Tensor, "*b k"]]:
    """`scores.topk(k)`, exactly, in two stages where that is cheaper.

    Keys are dealt into m/16 strided groups. An entry of the true top k lies in one of the k groups of largest maximum:
    otherwise k groups would each hold something larger. So only 16 k candidates are sorted instead of m.
    """
    m = scores.shape[-1]
    groups = m // GROUPS
    if m % GROUPS or groups < 4 * k or scores.device.type != "cpu":
        return scores.topk(k, dim=-1)
    peak = scores
    while peak.shape[-1] > groups:  # halving: contiguous, vectorised
        peak = torch.maximum(*peak.chunk(2, dim=-1))
    chosen = _best(peak, k)  # *b k
    members = chosen.unsqueeze(-2).expand(*chosen.shape[:-1], GROUPS, k)
    candidates = scores.reshape(*scores.shape[:-1], GROUPS, groups).gather(-1, members).flatten(-2)
    order = _best(candidates, k)
    return candidates.gather(-1, order), chosen.gather(-1, order % k) + order // k * groups


def _best(scores: Float[Tensor, "*b n"], k: int) -> Int[Tensor, "*b k"]:
    """Places of the k largest of few scores, best first.

    In bfloat16 score and place fit into one integer: NumPy sorts 128 rows of 512 of them in 0.05 ms, where
    `topk` takes 0.6 ms.
    """
    if scores.dtype != torch.bfloat16:
        return scores.topk(k, dim=-1)[1]
    n = scores.shape[-1]
    assert n <= 1 << 16
    bits = scores.view(torch.int16)
    ordered = bits ^ ((bits >> 15) & 0x7FFF)  # integers in the order of the scores
    packed = ((ordered.int() << 16) | torch.arange(n, dtype=torch.int32)).numpy()
    packed.sort(axis=-1)
    return torch.from_numpy(packed)[..., n - k :].flip(-1).bitwise_and_(0xFFFF).long()
