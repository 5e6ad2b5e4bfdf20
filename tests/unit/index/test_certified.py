"""Search in bfloat16 first returns what a search in full does, by PyTorch alone and by the kernel."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mnemon.config import Problem
from mnemon.index import bounds, certified, dense, exact, kernel
from mnemon.index.certified import certified_search
from mnemon.index.exact import Certify, proven_search

N, T, M, D, K = 2, 21, 1500, 20, 6
DTYPES = [
    pytest.param(torch.float32, torch.float32, id="float32"),
    pytest.param(torch.bfloat16, torch.bfloat16, id="bfloat16"),
    pytest.param(torch.float32, torch.bfloat16, id="bfloat16 keys"),
]


@pytest.fixture(params=["torch", "dense", "kernel", "plain kernel"])
def search(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Certify]:
    """One of the two, also as what `exact_search` goes by; in small tiles, so that there are several of everything."""
    by_kernel = request.param.endswith("kernel")
    where = "plainly_built" if request.param == "plain kernel" else "built"
    monkeypatch.setenv("XDG_CACHE_HOME", str(request.getfixturevalue(where) if by_kernel else "/nowhere"))
    if request.param == "plain kernel":
        monkeypatch.setattr(kernel, "FLAGS", kernel.PLAIN)
    kernel.built.cache_clear()
    monkeypatch.setattr(certified, "ROWS", 8)
    monkeypatch.setattr(certified, "TILE", 8 * 520)
    chosen = kernel.kernel_search if by_kernel else certified_search
    if request.param == "dense":
        monkeypatch.setattr(dense, "ROWS", 8)
        chosen = _dense_where_it_may_be
    monkeypatch.setattr(exact, "_certifier", lambda *_: chosen)
    yield chosen
    kernel.built.cache_clear()


def _dense_where_it_may_be(q: Tensor, keys: Tensor, k: int, valid: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    narrow = q.dtype == keys.dtype == torch.bfloat16
    return (dense.dense_search if narrow else certified_search)(q, keys, k, valid)


def drawn(q_dtype: torch.dtype, dtype: torch.dtype, m: int = M) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(m)
    return torch.randn(N, T, D, generator=draw).to(q_dtype), torch.randn(N, m, D, generator=draw).to(dtype)


def check(q: Tensor, keys: Tensor, k: int = K, valid: Tensor | None = None) -> Tensor:
    """That scores are the best there are, ids tell whose, and none stands twice; who was certified."""
    scores, ids, proved = proven_search(q, keys, k, valid)
    real = q.double() @ keys.double().mT
    if valid is not None:
        real = real.masked_fill(~valid.expand(real.shape), -math.inf)
    best = real.topk(k, dim=-1)[0]
    size = float(q.double().norm(dim=-1).max() * keys.double().nan_to_num(0, 0, 0).norm(dim=-1).max())
    torch.testing.assert_close(scores.double(), best, rtol=0, atol=1e-6 * size)
    there = scores > -math.inf
    torch.testing.assert_close(scores.double()[there], real.gather(-1, ids)[there], rtol=0, atol=1e-6 * size)
    assert bool((scores[..., 1:] <= scores[..., :-1]).all())
    assert all(
        len(set(row[seen].tolist())) == int(seen.sum())
        for row, seen in zip(ids.flatten(0, -2), there.flatten(0, -2), strict=True)
    )
    assert bool(((ids >= 0) & (ids < keys.shape[1])).all())
    return proved


@pytest.mark.usefixtures("search")
def test_products_that_are_to_be_exact_are_so_under_autocast() -> None:
    """A training in bfloat16 searches under autocast, which rounds every product that it meets."""
    q, keys = drawn(torch.bfloat16, torch.bfloat16)
    keys[:, 1::2] = keys[:, ::2]  # ties, which no bound decides
    with torch.autocast("cpu", dtype=torch.bfloat16):
        check(q, keys)


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize(("q_dtype", "dtype"), DTYPES)
@pytest.mark.parametrize("m", [1024, M, 4096 + 3])
def test_what_is_found_first_in_bfloat16_is_the_true_best(q_dtype: torch.dtype, dtype: torch.dtype, m: int) -> None:
    assert bool(check(*drawn(q_dtype, dtype, m)).all())


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize(("q_dtype", "dtype"), DTYPES)
def test_scores_that_are_all_negative_are_ordered_as_others_are(q_dtype: torch.dtype, dtype: torch.dtype) -> None:
    q, keys = drawn(q_dtype, dtype)
    assert bool(check(-q.abs(), keys.abs() + 1).any())
    assert bool(check(torch.cat([-q[:, :3].abs(), q[:, 3:].abs()], 1), keys.abs() + 1).any())


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize(("q_dtype", "dtype"), DTYPES)
@pytest.mark.parametrize("alike", [True, False], ids=["for all queries", "query by query"])
def test_what_may_not_be_seen_is_not_found_whatever_it_is(
    q_dtype: torch.dtype, dtype: torch.dtype, alike: bool
) -> None:
    q, keys = drawn(q_dtype, dtype)
    valid = torch.rand(N, 1 if alike else T, M, generator=torch.Generator().manual_seed(1)) < 0.4
    garbage = torch.tensor([math.nan, math.inf, -math.inf, 3e38], dtype=dtype)
    hidden = ~valid.any(1)
    hidden[:, 700:900], valid[..., 700:900] = True, False
    keys[hidden] = garbage[torch.arange(int(hidden.sum())) % 4, None].expand(-1, D)
    assert bool(check(q, keys, K, valid).any())


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize(("q_dtype", "dtype"), DTYPES)
@pytest.mark.parametrize("written", [0, 1, K - 1, K, 600])
def test_fewer_entries_than_asked_for_leave_the_rest_empty(
    q_dtype: torch.dtype, dtype: torch.dtype, written: int
) -> None:
    q, keys = drawn(q_dtype, dtype)
    keys[:, written:] = math.nan
    check(q, keys, K, (torch.arange(M) < written).expand(N, 1, M))


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize(("q_dtype", "dtype"), DTYPES)
def test_equal_keys_are_all_as_good_and_more_of_them_than_can_be_noted_down_are_searched_in_full(
    q_dtype: torch.dtype, dtype: torch.dtype
) -> None:
    q, keys = drawn(q_dtype, dtype)
    assert bool(check(q, keys[:, torch.arange(M) // 3]).all())
    assert not bool(check(q, keys[:, :1].expand(N, M, D)).any())
    assert not bool(check(q, torch.zeros_like(keys)).any())


@pytest.mark.parametrize(("q_dtype", "dtype"), DTYPES)
def test_a_cluster_that_rounding_makes_one_is_searched_in_full(
    search: Certify, q_dtype: torch.dtype, dtype: torch.dtype
) -> None:
    q, keys = drawn(q_dtype, dtype)
    near = keys.clone()
    near[:, ::2] = (8 * functional.normalize(q[:, :1].float(), dim=-1) + 1e-4 * keys[:, ::2].float()).to(dtype)
    proved = check(q, near)
    assert bool(proved.any())
    # The kernel's sums stay in float32, which may tell such keys apart.
    assert search is kernel.kernel_search or not bool(proved[:, 0].any())


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize(("q_dtype", "dtype"), DTYPES)
@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-18, 1e15, 1e18, 1e30])
def test_long_and_short_vectors_are_searched_as_others_are(
    q_dtype: torch.dtype, dtype: torch.dtype, scale: float
) -> None:
    q, keys = drawn(q_dtype, dtype)
    keys = (keys.double() * scale).to(dtype)
    check((q.float() * min(1.0, 1e30 / scale)).to(q_dtype), keys)
    keys[:, ::7] *= 1e-3
    keys[:, ::11] = 0
    check((q.float() * min(1.0, 1e30 / scale)).to(q_dtype), keys)


@pytest.mark.usefixtures("search")
def test_what_most_keys_share_is_taken_away_before_rounding() -> None:
    q, keys = drawn(torch.float32, torch.float32)
    q, keys = torch.cat([q] * 4, 1), functional.normalize(keys + 8, dim=-1)
    assert bool(check(q, keys).all())


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize("rising", [1, -1])
def test_entries_that_grow_ever_better_are_found(rising: int) -> None:
    q, keys = drawn(torch.bfloat16, torch.bfloat16)
    steps = torch.arange(M) / M if rising > 0 else 1 - torch.arange(M) / M
    check(q.abs(), (keys.float().abs() * steps.unsqueeze(-1)).bfloat16())


def test_a_vector_that_is_no_number_breaks_nothing(search: Certify) -> None:
    q, keys = drawn(torch.float32, torch.float32)
    q[0, 0], keys[1, 5] = math.nan, math.nan
    proved = search(q, keys, K, None)[2]
    assert not bool(proved[0, 0])
    assert bool(proved[0, 1:].all())
    assert not bool(proved[1].any())
    assert bool((proven_search(q, keys, K)[1] < M).all())


@pytest.mark.usefixtures("search")
def test_heads_of_one_query_are_searched_together() -> None:
    q, keys = drawn(torch.bfloat16, torch.bfloat16)
    scores, ids, _ = proven_search(q[:, :1].view(2, 1, 1, D), keys.view(2, 1, M, D), K)
    one = proven_search(q[1:, :1], keys[1:], K)
    assert torch.equal(ids[1, 0], one[1][0])
    assert torch.equal(scores[1, 0], one[0][0])


def test_ordered_integers_are_in_the_order_of_the_numbers_they_stand_for() -> None:
    numbers = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    numbers = numbers[numbers.isfinite()]
    order = numbers.clone().view(torch.int16)
    bounds.ordered(order, torch.empty_like(order))
    assert torch.equal(numbers[order.int().argsort()].float(), numbers.float().sort()[0])
    np.testing.assert_array_equal(bounds.value(order.numpy()), numbers.double().numpy())


@pytest.mark.parametrize("apart", [0.0, 1e-3, 0.3])
def test_a_bound_lies_below_whatever_may_round_to_a_score(apart: float) -> None:
    draw = torch.Generator().manual_seed(0)
    sums = torch.randn(20_000, generator=draw) * torch.logspace(-3, 3, 20_000)
    order = sums.bfloat16().view(torch.int16)
    bounds.ordered(order, torch.empty_like(order))
    least = bounds.value(bounds.below(order.numpy(), np.full(len(sums), apart)))
    worse = (sums.double() - 2 * apart).float().bfloat16().double().numpy()
    assert (least <= worse).all()
    assert (np.abs(least - worse) <= (np.abs(worse) + np.abs(sums.double().numpy())) / 64).all()


def test_a_kernel_that_cannot_be_built_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "COMPILERS", ("no-such-compiler",))
    with pytest.raises(Problem, match=r"no C\+\+ compiler"):
        kernel.build(tmp_path)
    assert not kernel.remove(tmp_path)


@pytest.mark.usefixtures("compiler")
def test_what_a_compiler_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.cpp"
    broken.write_text("int main( { }")
    monkeypatch.setattr(kernel, "SOURCE", broken)
    with pytest.raises(Problem, match=r"cannot compile the kernel: .*error"):
        kernel.build(tmp_path)


def test_a_plain_kernel_rounds_nothing(plainly_built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = plainly_built / "mnemon" / "kernels"
    assert kernel.built(folder) is None  # another name, so never taken for this CPU's
    kernel.built.cache_clear()
    monkeypatch.setattr(kernel, "FLAGS", kernel.PLAIN)
    made = kernel.built(folder)
    assert made is not None
    assert made.mnemon_rounds() == 0


def test_the_name_of_a_kernel_tells_all_parts_of_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in kernel.SOURCE.parent.glob("kernel*.[ch]*"):
        shutil.copy(part, tmp_path)
    monkeypatch.setattr(kernel, "SOURCE", tmp_path / "kernel.cpp")
    before = kernel.library(tmp_path)
    (tmp_path / "kernel_ranking.h").write_text("// changed")
    assert kernel.library(tmp_path) != before


def test_a_kernel_is_removed(built: Path, tmp_path: Path) -> None:
    folder = built / "mnemon" / "kernels"
    copied = tmp_path / kernel.library(folder).name
    shutil.copy(kernel.library(folder), copied)
    assert kernel.built(tmp_path) is not None
    assert kernel.remove(tmp_path)
    assert not copied.exists()
