import math

import pytest
import torch
from torch import Tensor

from mnemon.ops import Partial, partial_dense, partial_fused, partial_shared, partial_single

B, H, T, N, D = 2, 3, 5, 7, 4
INPUTS = ("q", "k", "v", "bias", "weight")

# Query 2 of row 0 sees nothing; row 1 sees the past only.
SEEN = torch.tensor(
    [
        [
            [1, 0, 0, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0, 1],
            [0, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 0, 0, 0],
            [1, 1, 1, 1, 1, 1, 1],
        ],
        [
            [1, 1, 0, 0, 0, 0, 0],
            [1, 1, 1, 0, 0, 0, 0],
            [1, 1, 1, 1, 0, 0, 0],
            [1, 1, 1, 1, 1, 0, 0],
            [1, 1, 1, 1, 1, 1, 0],
        ],
    ]
).bool()[:, None]


def inputs(dtype: torch.dtype = torch.float64, grad: bool = True) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    made = {
        "q": torch.randn(B, H, T, D, generator=draw, dtype=torch.float64),
        "k": torch.randn(B, H, N, D, generator=draw, dtype=torch.float64),
        "v": torch.randn(B, H, N, D, generator=draw, dtype=torch.float64),
        "bias": torch.randn(1, H, T, N, generator=draw, dtype=torch.float64),
        "weight": torch.rand(H, T, N, generator=draw, dtype=torch.float64),
    }
    return {name: x.to(dtype).requires_grad_(grad) for name, x in made.items()}


def by_loops(given: dict[str, Tensor], seen: Tensor | None) -> tuple[Tensor, Tensor]:
    """The formula, one query at a time."""
    o, z = torch.zeros(B, H, T, D, dtype=torch.float64), torch.full((B, H, T), -math.inf, dtype=torch.float64)
    for b in range(B):
        for h in range(H):
            for t in range(T):
                mass, total = torch.zeros(D, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
                for n in range(N):
                    if seen is not None and not seen[b, 0, t, n]:
                        continue
                    s = given["q"][b, h, t] @ given["k"][b, h, n]
                    s = s + given["bias"][0, h, t, n] if "bias" in given else s
                    e = s.exp() * given["weight"][h, t, n] if "weight" in given else s.exp()
                    total = total + e
                    mass = mass + e * given["v"][b, h, n]
                if total > 0:
                    o[b, h, t], z[b, h, t] = mass / total, total.log()
    return o, z


def gradients(part: Partial, given: dict[str, Tensor], through_z: bool = True) -> list[Tensor]:
    """Gradients of an uneven sum of the outputs (and of z where it is finite)."""
    draw = torch.Generator().manual_seed(1)
    total = (part.o.double() * torch.randn(part.o.shape, generator=draw, dtype=torch.float64)).sum()
    if through_z:
        assert part.z is not None
        total = total + (part.z * torch.randn(part.z.shape, generator=draw))[part.z > -math.inf].sum()
    return list(torch.autograd.grad(total, list(given.values())))


@pytest.mark.parametrize("seen", [None, SEEN], ids=["all", "masked"])
@pytest.mark.parametrize("extra", [(), ("bias",), ("weight",), ("bias", "weight")], ids="+".join)
def test_dense_is_the_formula(extra: tuple[str, ...], seen: Tensor | None) -> None:
    given = {name: x for name, x in inputs().items() if name in ("q", "k", "v", *extra)}
    part = partial_dense(**given, seen=seen)
    o, z = by_loops(given, seen)
    assert part.z is not None
    torch.testing.assert_close(part.o, o)
    torch.testing.assert_close(part.z, z)
    torch.testing.assert_close(gradients(part, given), gradients(Partial(o, z), given))


def test_gradients_of_dense_are_those_of_its_outputs() -> None:
    def call(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        part = partial_dense(*tensors[:4], weight=tensors[4])
        assert part.z is not None
        return part.o, part.z

    assert torch.autograd.gradcheck(call, tuple(inputs().values()))


def test_a_query_that_sees_nothing_gives_zero_and_minus_infinity() -> None:
    part = partial_dense(**inputs(), seen=SEEN)
    assert part.z is not None
    assert torch.equal(part.o[0, :, 2], torch.zeros(H, D).double())
    assert torch.equal(part.z[0, :, 2], torch.full((H,), -math.inf).double())
    assert bool(part.z.isfinite().sum() == B * H * T - H)


@pytest.mark.parametrize("path", [partial_dense, partial_fused])
def test_gradients_stay_finite_where_nothing_is_seen(path: object) -> None:
    given = {name: x for name, x in inputs(torch.float32).items() if name != "weight"}
    assert callable(path)
    part = path(**given, seen=torch.zeros(1, 1, T, N, dtype=torch.bool))
    assert torch.equal(part.o, torch.zeros(B, H, T, D))
    for gradient in torch.autograd.grad(part.o.sum(), list(given.values())):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_a_soft_weight_of_zero_hides_a_key_with_finite_gradients() -> None:
    given = inputs()
    with torch.no_grad():
        given["weight"][:, 1] = 0.0  # query 1 sees nothing
        given["weight"][:, :, 3] = 0.0  # key 3 is seen by none
    part = partial_dense(**given)
    o, z = by_loops(given, None)
    torch.testing.assert_close(part.o, o)
    torch.testing.assert_close(part.z, z)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients(part, given))


def test_scores_beyond_the_range_of_exp_do_not_overflow() -> None:
    given = {name: x for name, x in inputs(torch.float32).items() if name in ("q", "k", "v")}
    part = partial_dense(given["q"] * 1e6, given["k"], given["v"])
    best = (given["q"] @ given["k"].mT).argmax(-1)
    expected = given["v"].gather(2, best[..., None].expand(B, H, T, D))
    torch.testing.assert_close(part.o, expected)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients(part, given))


@pytest.mark.parametrize("seen", [None, SEEN, SEEN[1:]], ids=["all", "a row each", "all rows alike"])
@pytest.mark.parametrize("biased", [False, True])
def test_fused_equals_dense_in_outputs_and_gradients(biased: bool, seen: Tensor | None) -> None:
    given = {name: x for name, x in inputs().items() if name in ("q", "k", "v") or (biased and name == "bias")}
    fused, dense = partial_fused(**given, seen=seen), partial_dense(**given, seen=seen)
    assert fused.z is None
    torch.testing.assert_close(fused.o, dense.o)
    torch.testing.assert_close(gradients(fused, given, False), gradients(dense, given, False))


def test_shared_equals_dense_with_a_copy_a_row() -> None:
    given = inputs()
    mine = {"q": given["q"], "k": given["k"][0].detach().requires_grad_(), "v": given["v"][0].detach().requires_grad_()}
    shared = partial_shared(**mine)
    dense = partial_dense(mine["q"], mine["k"].expand(B, H, N, D), mine["v"].expand(B, H, N, D))
    torch.testing.assert_close(shared.o, dense.o)
    torch.testing.assert_close(shared.z, dense.z)
    torch.testing.assert_close(shared.weights, dense.weights)
    torch.testing.assert_close(gradients(shared, mine), gradients(dense, mine))


@pytest.mark.parametrize("shared", [False, True])
def test_dropout_acts_on_normalised_weights_and_does_not_renormalise(shared: bool) -> None:
    given = inputs(grad=False)
    eye = torch.eye(N).double().expand(B, H, N, N)  # the output is then the row of weights
    q, k = given["q"], given["k"]
    q, k = torch.cat([q, q.new_zeros(B, H, T, N - D)], -1), torch.cat([k, k.new_zeros(B, H, N, N - D)], -1)
    torch.manual_seed(0)
    if shared:
        part, whole = partial_shared(q, k[0], eye[0], dropout=0.4), partial_shared(q, k[0], eye[0])
    else:
        part, whole = partial_dense(q, k, eye, dropout=0.4), partial_dense(q, k, eye)
    kept = part.o != 0
    assert 0.4 < kept.double().mean() < 0.8
    torch.testing.assert_close(part.o, whole.o * kept / 0.6)
    torch.testing.assert_close(part.z, whole.z)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_outputs_keep_the_dtype_and_scores_are_at_least_float32(dtype: torch.dtype) -> None:
    given = {name: x for name, x in inputs(dtype).items() if name in ("q", "k", "v")}
    part, exact = partial_dense(**given), partial_dense(**{name: x.double() for name, x in given.items()})
    assert part.z is not None
    assert part.o.dtype == dtype
    assert part.z.dtype == torch.promote_types(dtype, torch.float32)
    tolerance = {torch.bfloat16: 2e-2, torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    torch.testing.assert_close(part.o.double(), exact.o, atol=tolerance, rtol=tolerance)


def test_a_single_head_is_as_wide_as_all_queries_together() -> None:
    given = inputs()
    q = given["q"]
    mine = {name: torch.randn(1, N, H * D, dtype=torch.float64, requires_grad=True) for name in ("k", "v")}
    part = partial_single(q, mine["k"], mine["v"])
    s = torch.stack([q[:, i] @ mine["k"][0, :, i * D : (i + 1) * D].mT for i in range(H)]).sum(0) / math.sqrt(H)
    o = s.softmax(-1) @ mine["v"][0]  # b t hd
    torch.testing.assert_close(part.o, torch.stack(o.split(D, -1), dim=1))
    for head in range(H):
        torch.testing.assert_close(part.z[:, head], s.logsumexp(-1))
        torch.testing.assert_close(part.weights[:, head], s.softmax(-1))
