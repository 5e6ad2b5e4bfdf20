"""Attention by blocks over a window, compared with plain products and a merge by log-sum-exp."""

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mnemon.ops import Band, Common, Partial, joint, partial_dense, partial_shared, partial_window
from mnemon.ops.dropout import drop_, rate

B, H, D, M = 2, 3, 4, 6
SHAPES = [(1, 1), (1, 7), (5, 5), (5, 7), (5, 14)]  # queries and keys
REACHES = [(0, 0), (1, 1), (1, 3), (0, 4), (1, 30)]  # nearest and furthest distance


def inputs(t: int, n: int, reach: tuple[int, int], bias: str, soft: bool, dtype: torch.dtype) -> dict[str, Any]:
    """Everything a window is told, drawn; a soft span hides its furthest distance from everyone."""
    draw = torch.Generator().manual_seed(0)
    first, last = reach[0], max(reach[0], min(reach[1], n - 1))
    x = last - first + 1
    sizes = {"q": (B, H, t, D), "k": (B, H, n, D), "v": (B, H, n, D), "asks": (B, H, t, D)}
    sizes |= {"keys": (H, M, D), "values": (H, M, D)}
    sizes |= {"bias": {"none": (0,), "distance": (1, H, 1, x), "query": (B, H, t, x)}[bias]}
    made = {name: torch.randn(size, generator=draw, dtype=torch.float64).to(dtype) for name, size in sizes.items()}
    weight = torch.rand(H, x, generator=draw, dtype=torch.float64).to(dtype)
    weight[:, 0] = 0.0
    made |= {"weight": weight} if soft else {}
    if bias == "none":
        del made["bias"]
    return {"reach": (first, last), **{name: value.requires_grad_() for name, value in made.items()}}


def both(given: dict[str, Any], valid: Tensor | None, common: str, block: int, merges: bool) -> tuple[Partial, Partial]:
    """(by blocks, by plain products)."""
    q, k, v = (given[name] for name in "qkv")
    band = Band(*given["reach"], given.get("bias"), given.get("weight"), valid)
    shared = Common(q if common == "same queries" else given["asks"], given["keys"], given["values"])
    found = partial_window(q, k, v, band, None if common == "none" else shared, merges, block)
    bias, seen, weight = band.spread(q.shape[2], k.shape[2], q.device)
    plain = partial_dense(q, k, v, bias, seen, weight)
    return found, plain if common == "none" else joint([plain, partial_shared(shared.q, shared.k, shared.v)])


def slopes(part: Partial, leaves: list[Tensor], through_z: bool) -> tuple[Tensor | None, ...]:
    """Gradients of an uneven sum of the outputs and of every finite z."""
    draw = torch.Generator().manual_seed(1)
    total = (part.o.double() * torch.randn(part.o.shape, generator=draw, dtype=torch.float64)).sum()
    if through_z:
        assert part.z is not None
        total = total + (part.z * torch.randn(part.z.shape, generator=draw))[part.z > -math.inf].sum()
    return torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("common", ["none", "same queries", "other queries"])
@pytest.mark.parametrize("bias", ["none", "distance", "query"])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("t", "n"), SHAPES)
def test_blocks_equal_plain_products_in_outputs_and_gradients(
    t: int, n: int, soft: bool, bias: str, common: str
) -> None:
    for reach, block, held, merges in product(REACHES, (2, 5), (False, True), (False, True)):
        given = inputs(t, n, reach, bias, soft, torch.float64)
        valid = torch.arange(n) >= torch.tensor([[n // 2], [0]]) if held else None
        leaves = [x for x in given.values() if isinstance(x, Tensor)]
        found, plain = both(given, valid, common, block, merges)
        torch.testing.assert_close(found.o, plain.o)
        assert (found.z is not None) == merges
        if merges:
            torch.testing.assert_close(found.z, plain.z)
        torch.testing.assert_close(slopes(found, leaves, merges), slopes(plain, leaves, merges))


@pytest.mark.parametrize("merges", [False, True])
@pytest.mark.parametrize("common", ["none", "other queries"])
def test_low_precision_is_as_near_the_truth_as_plain_products_are(common: str, merges: bool) -> None:
    exact = inputs(40, 70, (1, 30), "distance", True, torch.float64)
    rough = {name: x.detach().bfloat16().requires_grad_() if name != "reach" else x for name, x in exact.items()}
    for name in ("bias", "weight"):
        rough[name] = exact[name].detach().float().requires_grad_()
    exact |= {name: x.detach().double().requires_grad_() for name, x in rough.items() if name != "reach"}
    found, plain = both(rough, None, common, 16, merges)
    _, truth = both(exact, None, common, 16, merges)
    assert found.o.dtype == torch.bfloat16
    ours, theirs, right = (
        [part.o, *slopes(part, [x for x in given.values() if isinstance(x, Tensor)], merges)]
        for part, given in ((found, rough), (plain, rough), (truth, exact))
    )
    for mine, yours, true in zip(ours, theirs, right, strict=True):
        assert mine is not None
        assert yours is not None
        assert (mine - true).norm() <= 2.5 * (yours - true).norm() + 1e-12  # weights and slopes are rounded once more
        assert (mine - true).norm() <= 0.02 * true.norm()


def test_gradients_are_those_of_finite_differences() -> None:
    given = inputs(3, 5, (1, 3), "query", False, torch.float64)
    names = ("q", "k", "v", "bias", "asks", "keys", "values")

    def call(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v, bias, *rest = tensors
        part = partial_window(q, k, v, Band(1, 3, bias), Common(*rest), block=2)
        assert part.z is not None
        return part.o, part.z

    assert torch.autograd.gradcheck(call, tuple(given[name] for name in names), fast_mode=True)


@pytest.mark.parametrize("merges", [False, True])
def test_dropped_weights_equal_plain_products_with_the_same_mask(merges: bool) -> None:
    given, p = inputs(5, 7, (1, 3), "query", True, torch.float64), 0.4
    q, k, v, asks, keys, values = (given[name] for name in ("q", "k", "v", "asks", "keys", "values"))
    band = Band(1, 3, given["bias"], given["weight"])
    torch.manual_seed(0)
    found = partial_window(q, k, v, band, Common(asks, keys, values), merges, dropout=p)
    torch.manual_seed(0)
    own = partial_dense(q, k, v, *band.spread(5, 7, q.device))
    shared = partial_shared(asks, keys, values)
    assert own.z is not None
    assert shared.z is not None
    assert own.weights is not None
    assert shared.weights is not None
    o, z = [], torch.logaddexp(own.z, shared.z)
    for h, b in product(range(H), range(B)):  # the order of the blocks
        left = drop_(torch.ones(5, 6 + M, dtype=torch.float64), p).relu() / (1 - rate(p))  # the last key is not seen
        near = (own.z - z)[b, h, :, None].exp() * own.weights[b, h, :, :6]
        far = (shared.z - z)[b, h, :, None].exp() * shared.weights[b, h]
        o.append(near * left[:, :6] @ v[b, h, :6] + far * left[:, 6:] @ values[h])
    plain = Partial(torch.stack(o).unflatten(0, (H, B)).transpose(0, 1), z)
    torch.testing.assert_close(found.o, plain.o)
    leaves = [x for x in given.values() if isinstance(x, Tensor)]
    torch.testing.assert_close(slopes(found, leaves, merges), slopes(plain, leaves, merges))


def test_gradients_of_dropped_weights_are_those_of_finite_differences() -> None:
    given = inputs(3, 5, (1, 3), "query", False, torch.float64)

    def call(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v, bias, *rest = tensors
        torch.manual_seed(0)
        part = partial_window(q, k, v, Band(1, 3, bias), Common(*rest), block=2, dropout=0.5)
        assert part.z is not None
        return part.o, part.z

    names = ("q", "k", "v", "bias", "asks", "keys", "values")
    assert torch.autograd.gradcheck(call, tuple(given[name] for name in names), fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_dropped_weights_are_right_on_average(dtype: torch.dtype) -> None:
    given, n = inputs(1, 1, (0, 0), "none", False, dtype), 10_000
    torch.manual_seed(0)
    q, k, v = (given[name].detach()[:1].expand(-1, -1, n, -1) for name in "qkv")  # equal questions over equal keys
    shared = Common(q, given["keys"], given["values"])
    found, whole = (partial_window(q, k, v, Band(0, 3), shared, dropout=p).o.double()[:, :, 4:] for p in (0.3, 0.0))
    error = found - whole
    assert bool((error.mean(2).abs() < 5 * error.std(2) / n**0.5 + 2e-3).all())
    assert bool((error.std(2) > 0.01).all())


def test_what_is_recomputed_drops_the_same_weights() -> None:
    given = inputs(5, 7, (1, 3), "query", True, torch.float64)
    leaves = [given[name] for name in ("q", "k", "v")]

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        band, common = Band(1, 3, given["bias"], given["weight"]), Common(q, given["keys"], given["values"])
        return partial_window(q, k, v, band, common, block=2, dropout=0.5).o

    found = []
    for recomputes in (False, True):
        torch.manual_seed(0)
        o = checkpoint(attend, *leaves, use_reentrant=False) if recomputes else attend(*leaves)
        torch.rand(3)
        found.append((o, *torch.autograd.grad(o.square().sum(), leaves)))
    for alone, again in zip(*found, strict=True):
        assert torch.equal(alone, again)


def test_no_dropout_draws_nothing() -> None:
    given = inputs(5, 7, (1, 3), "none", False, torch.float32)
    before = torch.get_rng_state()
    partial_window(given["q"], given["k"], given["v"], Band(1, 3), dropout=0.0)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_key_outside_the_window_of_a_block_is_read() -> None:
    given = inputs(6, 12, (1, 3), "none", False, torch.float64)
    with torch.no_grad():
        for name in "kv":
            given[name][:, :, :3] = math.nan  # further away than the first query sees
            given[name][:, :, 11] = math.nan  # the last token's own
    part = partial_window(given["q"], given["k"], given["v"], Band(1, 3), block=2)
    assert bool(part.o.isfinite().all())
    for slope in torch.autograd.grad(part.o.sum(), [given["q"], given["k"]]):
        assert bool(slope.isfinite().all())


def test_nothing_is_kept_where_no_gradient_is_taken() -> None:
    given = inputs(5, 7, (1, 3), "query", True, torch.float64)
    found, _ = both(given, None, "other queries", 2, True)
    with torch.no_grad():
        alone, _ = both(given, None, "other queries", 2, True)
    assert torch.equal(found.o, alone.o)
    assert not alone.o.requires_grad


def test_scores_beyond_the_range_of_exp_do_not_overflow() -> None:
    given = inputs(5, 7, (0, 6), "none", False, torch.float32)
    found = partial_window(given["q"] * 1e6, given["k"], given["v"], Band(0, 6))
    assert found.z is not None
    assert bool(found.o.isfinite().all() and found.z.isfinite().all())
