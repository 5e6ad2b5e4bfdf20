import math

import pytest
import torch
from torch import Tensor

from mnemon.index import exact, exact_search
from mnemon.index import triton_search as fused
from mnemon.index.triton_search import fits, streamed_search

B, H, T, D = 2, 1, 2, 6
HERE = "cuda" if torch.cuda.is_available() else "cpu"  # on a CPU the kernels are interpreted


@pytest.fixture(autouse=True)
def small_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 64 keys in 16 lanes, and tiles of 16 queries: the interpreter is slow."""
    if HERE == "cpu":
        monkeypatch.setattr(fused, "LANES", 16)
        monkeypatch.setattr(fused, "TILE", 16)


def drawn(m: int, t: int = T, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(m)
    return tuple(torch.randn(B, H, n, D, generator=draw).to(dtype).to(HERE) for n in (t, m))  # type: ignore[return-value]


def by_brute_force(q: Tensor, keys: Tensor, k: int, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
    scores = q.double() @ keys.double().mT
    if valid is not None:
        scores = scores.masked_fill(~valid.expand(scores.shape), -math.inf)
    return scores.topk(k, dim=-1)


@pytest.mark.parametrize(("m", "k"), [(3, 8), (13, 1), (64, 3), (141, 3)])  # parts of a part, a whole one, several
def test_streamed_search_equals_brute_force(m: int, k: int) -> None:
    q, keys = drawn(m)
    scores, ids = streamed_search(q, keys, k)
    expected, places = by_brute_force(q, keys, min(k, m))
    assert torch.equal(ids, places)
    torch.testing.assert_close(scores.double(), expected, rtol=1e-5, atol=1e-5)


def test_streamed_search_takes_more_queries_than_a_tile_holds() -> None:
    q, keys = (x[:1] for x in drawn(20, 18))
    assert torch.equal(streamed_search(q, keys, 1)[1], by_brute_force(q, keys, 1)[1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_is_scored_are_the_stored_keys_summed_in_float32(dtype: torch.dtype) -> None:
    q, keys = drawn(100, dtype=dtype)
    scores, ids = streamed_search(q, keys, 3)
    expected, places = by_brute_force(q, keys, 3)
    assert torch.equal(ids, places)
    torch.testing.assert_close(scores, expected.float())


def test_queries_are_not_rounded_to_what_keys_are_stored_in() -> None:
    q, keys = drawn(100)
    keys = keys.bfloat16()
    scores, ids = streamed_search(q, keys, 3)
    expected, places = by_brute_force(q, keys, 3)
    assert torch.equal(ids, places)
    torch.testing.assert_close(scores, expected.float())


def test_the_best_keys_are_found_though_all_share_a_lane() -> None:
    q, keys = drawn(600, 1)
    better = torch.arange(4, 4 * fused.LANES, fused.LANES)  # every member of lane 4 of the first part
    keys[:, :, better] = 10 * q[:, :, :1]
    assert torch.equal(streamed_search(q, keys, 4)[1][:, :, 0].sort().values.cpu(), better.expand(B, H, -1))


def test_equal_keys_are_each_found_once() -> None:
    q, keys = drawn(90)
    ids = streamed_search(q, torch.ones_like(keys), 7)[1]
    assert all(len(set(each.tolist())) == 7 for each in ids.flatten(0, 2))


@pytest.mark.parametrize("shape", [(90,), (T, 90), (B, 1, 1, 90), (B, 1, T, 90)])
def test_streamed_search_leaves_out_what_is_not_valid(shape: tuple[int, ...]) -> None:
    q, keys = drawn(90)
    valid = (torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.5).to(HERE)
    keys = keys.masked_fill(~valid[..., None], math.nan) if shape == (90,) else keys  # never written
    scores, ids = streamed_search(q, keys, 3, valid)
    expected, places = by_brute_force(q, keys.nan_to_num(), 3, valid)
    assert torch.equal(ids, places)
    torch.testing.assert_close(scores.double(), expected, rtol=1e-5, atol=1e-5)


def test_streamed_search_gives_minus_infinity_where_nothing_is_left() -> None:
    q, keys = drawn(60)
    scores, ids = streamed_search(q, keys, 5, (torch.arange(60) < 2).to(HERE))
    assert torch.equal(scores[..., 2:], torch.full_like(scores[..., 2:], -math.inf))
    assert bool(((ids >= 0) & (ids < 60)).all())
    assert torch.equal(ids[..., :2].sort().values, torch.tensor([0, 1]).to(HERE).expand(B, H, T, 2))


@pytest.mark.parametrize("lead", [(2,), (2, 1, 2)])
def test_streamed_search_takes_any_leading_axes(lead: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(0)
    q, keys = (torch.randn(*lead, n, D, generator=draw).to(HERE) for n in (1, 90))
    valid = (torch.rand(*lead, 1, 90, generator=draw) < 0.5).to(HERE)
    assert torch.equal(streamed_search(q, keys, 3, valid)[1], by_brute_force(q, keys, 3, valid)[1])


def test_a_part_of_a_store_is_searched_where_it_lies() -> None:
    q, keys = drawn(140)
    assert torch.equal(streamed_search(q, keys[:, :, :128], 4)[1], by_brute_force(q, keys[:, :, :128], 4)[1])


def test_an_empty_memory_gives_nothing() -> None:
    q, keys = drawn(4)
    assert streamed_search(q, keys[:, :, :0], 3)[1].shape == (B, H, T, 0)


def test_what_the_kernels_are_not_made_for_is_left_to_the_reference() -> None:
    keys = torch.zeros(1, 7, 256)
    assert fits(keys, 128)
    assert not fits(keys, 129)
    assert not fits(keys, 0)
    assert not fits(torch.zeros(1, 7, 257), 128)
    assert not fits(torch.zeros(1, 256, 7).mT, 3)


def test_a_search_on_a_gpu_goes_to_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    q, keys = drawn(90)
    monkeypatch.setattr(exact, "accelerated", lambda *tensors: True)
    called = []
    monkeypatch.setattr(fused, "streamed_search", lambda *given: called.append(given) or streamed_search(*given))
    assert torch.equal(exact_search(q, keys, 4)[1], by_brute_force(q, keys, 4)[1])
    assert torch.equal(exact_search(q, keys, 150)[1], by_brute_force(q, keys, 90)[1])
    assert len(called) == 1


@pytest.mark.gpu
def test_a_large_memory_is_searched_exactly_on_a_gpu() -> None:
    draw = torch.Generator(device="cuda").manual_seed(0)
    q, keys = (torch.randn(1, 8, n, 64, generator=draw, device="cuda", dtype=torch.bfloat16) for n in (512, 65_536))
    _scores, ids = exact_search(q, keys, 32)
    expected = (q.float() @ keys.float().mT).topk(32)[1]
    assert bool((ids.sort().values == expected.sort().values).float().mean() > 0.9999)
