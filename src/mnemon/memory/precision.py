import itertools
from collections.abc import Sequence

import torch
from jaxtyping import BFloat16, Float, Int64, Num
from torch import Tensor

from mnemon.index.exact import exact_search

DTYPES = {
    str(dtype).removeprefix("torch."): dtype for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16)
}
INT8 = "int8"
STEPS = 127
QUERIES, TOP_K = 64, 32
AMONG = 16_384  # entries of older documents that queries are looked up among


def keeps_all(precision: str, dtype: torch.dtype) -> bool:
    """Whether every number of `dtype` is kept to the last bit."""
    return precision != INT8 and torch.promote_types(DTYPES[precision], dtype) == DTYPES[precision]


def encode(x: Float[Tensor, "g n d"], precision: str) -> tuple[Num[Tensor, "g n d"], BFloat16[Tensor, "g n"] | None]:
    """Vectors as they are stored; for int8 with the largest magnitude a of each, rounded to bfloat16.

    x ~ a/127 · c with integers |c| <= 127. The rounding of a makes it return unchanged when a decoded vector is encoded
    again: the codes are the same, so a memory that is loaded and saved never degrades.
    """
    if precision != INT8:
        return x.to(DTYPES[precision]), None
    wide = x.to(torch.float32)
    largest = wide.abs().amax(-1).clamp(max=torch.finfo(torch.bfloat16).max).to(torch.bfloat16)
    step = largest.float().unsqueeze(-1) / STEPS
    codes = torch.where(step > 0, wide / step, 0.0).round().clamp(-STEPS, STEPS)
    return codes.to(torch.int8), largest


def decode(
    stored: Num[Tensor, "g n d"], largest: BFloat16[Tensor, "g n"] | None, dtype: torch.dtype
) -> Float[Tensor, "g n d"]:
    """Vectors in `dtype`: what is stored itself, not copied, where it has that type."""
    if largest is None:
        return stored.to(dtype)
    return (stored.float() * (largest.float().unsqueeze(-1) / STEPS)).to(dtype)


def recall(keys: Sequence[Float[Tensor, "g _ d"]], chosen: Sequence[Int64[Tensor, " _"]], precision: str) -> float:
    """The mean share of a query's 32 best keys, in one layer, that are among its 32 best once they are stored.

    Queries are keys themselves, those `chosen` of each document, in each head; both searches are exact, over all
    documents.
    """
    queries = torch.cat([each[:, places] for each, places in zip(keys, chosen, strict=True)], 1).float()  # g t d
    before = _best(queries, keys)
    after = _best(queries, [decode(*encode(each, precision), each.dtype) for each in keys])
    return float((before.unsqueeze(-1) == after.unsqueeze(-2)).any(-1).double().mean())


def sample(lengths: Sequence[int]) -> list[Int64[Tensor, " _"]]:
    """Places of at most 64 entries, drawn from all of documents with so many each; the same at every call."""
    ends = torch.tensor([0, *lengths]).cumsum(0)
    drawn = torch.randperm(int(ends[-1]), generator=torch.Generator().manual_seed(0))[:QUERIES].sort().values
    return [drawn[(drawn >= start) & (drawn < end)] - start for start, end in itertools.pairwise(ends.tolist())]


def _best(queries: Tensor, keys: Sequence[Tensor]) -> Tensor:
    """Places of the 32 best keys of each query over all documents, or of all where they are fewer; g t k."""
    scores, ids = queries.new_empty(*queries.shape[:2], 0), torch.empty(*queries.shape[:2], 0, dtype=torch.long)
    start = 0
    for each in keys:
        found, at = exact_search(queries, each.float(), TOP_K)
        scores, ids = torch.cat([scores, found], -1), torch.cat([ids, at + start], -1)
        scores, order = scores.topk(min(TOP_K, scores.shape[-1]), dim=-1)
        ids = ids.gather(-1, order)
        start += each.shape[1]
    return ids
