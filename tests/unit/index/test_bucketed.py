import math

import pytest
import torch
from torch import Tensor

from mnemon.index import bucketed, bucketed_search, exact_search, find_index

B, H, T, M, D = 2, 3, 5, 97, 4


def drawn(size: int = M) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    q, keys = (torch.randn(B, H, n, D, generator=draw, dtype=torch.float64) for n in (T, size))
    return q, keys


def by_loops(q: Tensor, keys: Tensor, k: int, buckets: int, valid: Tensor) -> list[int]:
    """The winners of one query: the best key of each bucket, the best k of these."""
    scores = {j: float(q @ keys[j]) for j in range(len(keys)) if valid[j]}
    winners = [
        max(bucket, key=scores.__getitem__)
        for first in range(buckets)
        if (bucket := [j for j in scores if j % buckets == first])
    ]
    return sorted(winners, key=scores.__getitem__, reverse=True)[:k]


@pytest.fixture(params=[8192, 13], ids=["one block", "many blocks"])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucketed, "BLOCK", request.param)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize(("k", "buckets"), [(1, 1), (3, 10), (10, 10), (7, 97), (7, 128)])
def test_the_best_of_each_bucket_are_the_candidates(k: int, buckets: int) -> None:
    q, keys = drawn()
    valid = torch.rand(B, H, T, M, generator=torch.Generator().manual_seed(1)) < 0.7
    scores, ids = bucketed_search(q, keys, k, valid, buckets)
    assert scores.shape == ids.shape == (B, H, T, k)
    for row, head, t in torch.cartesian_prod(*map(torch.arange, (B, H, T))).tolist():
        expected = by_loops(q[row, head, t], keys[row, head], k, buckets, valid[row, head, t])
        assert ids[row, head, t].tolist() == expected
        torch.testing.assert_close(scores[row, head, t], keys[row, head, expected] @ q[row, head, t])


@pytest.mark.usefixtures("block")
def test_with_a_bucket_for_each_key_the_search_is_exact() -> None:
    q, keys = drawn()
    for found, expected in zip(bucketed_search(q, keys, 7, buckets=M), exact_search(q, keys, 7), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.usefixtures("block")
def test_fewer_valid_entries_than_asked_for_give_minus_infinity_and_no_unwritten_slot() -> None:
    q, keys = drawn()
    keys[:, :, 3:] = math.nan
    scores, ids = bucketed_search(q, keys, 5, (torch.arange(M) < 3).expand(1, M), 10)
    assert bool((scores[..., :3] > -math.inf).all())
    assert bool((scores[..., 3:] == -math.inf).all())
    assert bool((ids[..., :3] < 3).all())
    assert bool(((ids >= 0) & (ids < M)).all())


def test_never_more_are_found_than_there_are_buckets_or_keys() -> None:
    q, keys = drawn()
    assert bucketed_search(q, keys, 20, buckets=6)[1].shape[-1] == 6
    assert bucketed_search(q, keys[:, :, :2], 20)[1].shape[-1] == 2
    assert bucketed_search(q, keys[:, :, :0], 20)[1].shape[-1] == 0


@pytest.mark.parametrize("m", [8192, 65_536])
@pytest.mark.parametrize(("index", "expected"), [("bucketed", 0.886), ("bucketed:buckets=32", 0.638)])
def test_recall_of_32_is_that_of_the_formula(m: int, index: str, expected: float) -> None:
    draw = torch.Generator().manual_seed(0)
    q, keys = (torch.nn.functional.normalize(torch.randn(1, n, 64, generator=draw), dim=-1) for n in (48, m))
    best, found = (find_index(name)(q, keys, 32)[1] for name in ("exact", index))
    recall = (found[..., :, None] == best[..., None, :]).any(-1).float().mean().item()
    assert recall == pytest.approx(expected, abs=0.02)
