import math

import pytest
import torch
from torch import Tensor

from mnemon.index import exact, exact_search

B, H, T, M, D = 2, 3, 5, 97, 4


def drawn(seed: int = 0, size: int = M, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    q = torch.randn(B, H, T, D, generator=draw, dtype=torch.float64)
    return q.to(dtype), torch.randn(B, H, size, D, generator=draw, dtype=torch.float64).to(dtype)


def by_brute_force(q: Tensor, keys: Tensor, k: int, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
    scores = q @ keys.mT
    if valid is not None:
        scores = scores.masked_fill(~valid.expand(scores.shape), -math.inf)
    return scores.topk(k, dim=-1)


@pytest.fixture(params=["one tile", "many tiles and blocks"])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "one tile":
        monkeypatch.setattr(exact, "BLOCK", 13)
        monkeypatch.setattr(exact, "TILE_BYTES", {"cpu": 2 * T * 13 * 8})
        monkeypatch.setattr(exact, "QUERIES", {"cpu": 2})


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("k", [1, 7, 40, M])
def test_search_equals_brute_force(k: int) -> None:
    q, keys = drawn()
    scores, ids = exact_search(q, keys, k)
    expected, places = by_brute_force(q, keys, k)
    torch.testing.assert_close(scores, expected)
    assert torch.equal(ids, places)


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("shape", [(M,), (1, M), (T, M), (B, 1, 1, M), (B, 1, T, M), (B, H, T, M)])
def test_entries_that_are_not_valid_are_left_out(shape: tuple[int, ...]) -> None:
    q, keys = drawn()
    valid = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.5
    scores, ids = exact_search(q, keys, 7, valid)
    expected, places = by_brute_force(q, keys, 7, valid)
    torch.testing.assert_close(scores, expected)
    assert torch.equal(ids, places)


@pytest.mark.usefixtures("tiles")
def test_fewer_valid_entries_than_asked_for_give_minus_infinity() -> None:
    q, keys = drawn()
    keys[:, :, 3:] = math.nan  # slots that were never written
    valid = (torch.arange(M) < 3).expand(1, M)
    scores, ids = exact_search(q, keys, 5, valid)
    assert torch.equal(scores[..., 3:], torch.full((B, H, T, 2), -math.inf).double())
    torch.testing.assert_close(scores[..., :3], by_brute_force(q, keys[:, :, :3], 3)[0])
    assert bool(((ids >= 0) & (ids < M)).all())


@pytest.mark.usefixtures("tiles")
def test_a_store_smaller_than_top_k_gives_all_it_has() -> None:
    q, keys = drawn(size=3)
    scores, ids = exact_search(q, keys, 7)
    assert scores.shape == ids.shape == (B, H, T, 3)
    assert torch.equal(ids.sort(-1)[0], torch.arange(3).expand(B, H, T, 3))


def test_an_empty_store_gives_nothing() -> None:
    q, keys = drawn(size=0)
    scores, ids = exact_search(q, keys, 7)
    assert scores.shape == ids.shape == (B, H, T, 0)


def test_a_store_that_fills_no_groups_is_searched_in_two_stages_too() -> None:
    q, keys = drawn(size=1031)
    scores, ids = exact_search(q, keys, 3)
    expected, places = by_brute_force(q, keys, 3)
    torch.testing.assert_close(scores, expected)
    assert torch.equal(ids, places)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("t", [1, 4, 5])
def test_the_products_of_few_and_of_many_queries_are_the_same(
    t: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "WIDENED", 13)
    q, keys = drawn(dtype=dtype)
    scores, ids = exact_search(q[:, :, :t], keys, 7)
    exactly = (q[:, :, :t].double() @ keys.double().mT).gather(-1, ids)
    torch.testing.assert_close(scores.double(), exactly, rtol=1e-5, atol=1e-6)
    best = by_brute_force(q[:, :, :t].double(), keys.double(), 7)[0]
    torch.testing.assert_close(exactly, best, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("tiles")
def test_search_works_without_rows() -> None:
    q, keys = drawn()
    scores, ids = exact_search(q[0], keys[0], 7)
    assert torch.equal(ids, exact_search(q, keys, 7)[1][0])
    assert scores.shape == (H, T, 7)


@pytest.mark.usefixtures("tiles")
def test_one_head_searches_as_many_do() -> None:
    q, keys = drawn()
    assert torch.equal(exact_search(q[0, :1], keys[0, :1], 7)[1], exact_search(q, keys, 7)[1][0, :1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_scores_are_in_float32_at_least_and_carry_no_gradient(dtype: torch.dtype) -> None:
    q, keys = drawn()
    scores, _ = exact_search(q.requires_grad_(), keys.to(dtype), 7)
    assert scores.dtype == torch.promote_types(dtype, torch.float32)
    assert not scores.requires_grad
    exactly = (q.double() @ keys.to(dtype).double().mT).topk(7, dim=-1)[0]
    torch.testing.assert_close(scores.double(), exactly, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("distinct", [3, 50, 10**6], ids=["many ties", "some ties", "no ties"])
@pytest.mark.parametrize(
    ("m", "k"), [(16 * 8, 2), (16 * 9, 2), (16 * 40, 10), (16 * 33, 7), (16 * 40 + 1, 10), (90, 30)]
)
def test_selection_in_two_stages_equals_topk(m: int, k: int, distinct: int, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(m + k)
    scores = (torch.randint(0, distinct, (B, T, m), generator=draw) - distinct // 2).to(dtype)
    scores[0, 0, : m - k + 1] = -math.inf  # fewer than k are left
    scores[0, 1] = -math.inf
    scores[0, 2, 5], scores[0, 3] = math.inf, -0.0
    top, ids = exact.select(scores, k)
    assert torch.equal(top, scores.topk(k, dim=-1)[0])
    assert torch.equal(scores.gather(-1, ids), top)
    assert all(len(set(row.tolist())) == k for row in ids.flatten(0, -2))


def test_selection_finds_neighbours_that_lie_in_one_group() -> None:
    m, k = 16 * 40, 10
    scores = torch.zeros(1, m)
    scores[0, 3 :: m // 16] = torch.arange(16.0) + 1  # all sixteen members of the fourth group
    top, ids = exact.select(scores, k)
    assert top.tolist() == [[16.0, 15.0, 14.0, 13.0, 12.0, 11.0, 10.0, 9.0, 8.0, 7.0]]
    assert ids.tolist() == [[3 + 40 * member for member in range(15, 5, -1)]]
