import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mnemon.ops import Neighbours, Partial, neighbours, partial_dense, partial_neighbours, write_count

B, H, T, K, D, M, S = 3, 2, 5, 4, 6, 11, 2  # S: rows of the store, which three rows of the batch share


def stored(dtype: torch.dtype = torch.float64) -> Neighbours:
    """Distinct random ids; query 1 of row 0 found one entry, query 2 nothing; what was not found is NaN."""
    draw = torch.Generator().manual_seed(0)
    keys, values = (torch.randn(S, H, M, D, generator=draw, dtype=torch.float64) for _ in range(2))
    keys[:, :, -1], values[:, :, -1] = math.nan, math.nan  # slot M-1 was never written
    ids = torch.stack([torch.randperm(M - 1, generator=draw)[:K] for _ in range(B * H * T)]).view(B, H, T, K)
    valid = torch.ones(B, H, T, K, dtype=torch.bool)
    valid[0, :, 1, 1:], valid[0, :, 2] = False, False
    ids = ids.masked_fill(~valid, M - 1)
    keys, values = keys.to(dtype), values.to(dtype)
    rows, positions = torch.tensor([1, 0, 1]), torch.zeros(S, M, dtype=torch.long)
    scores = torch.zeros(B, H, T, K, dtype=dtype)
    return Neighbours(keys, values, positions, rows, ids, valid, scores, write_count(keys))


def found_everywhere(dtype: torch.dtype = torch.float64) -> Neighbours:
    """The same where every query found k entries, so that none needs a mask."""
    read = stored(dtype)
    draw = torch.Generator().manual_seed(3)
    ids = torch.stack([torch.randperm(M - 1, generator=draw)[:K] for _ in range(B * H * T)]).view(B, H, T, K)
    return replace(read, ids=ids, valid=torch.ones_like(read.valid))


def queries(dtype: torch.dtype = torch.float64) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(B, H, T, D, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()


def dense(q: Tensor, read: Neighbours) -> Partial:
    """The same by a masked softmax over the whole store."""
    seen = torch.zeros(B, H, T, M, dtype=torch.bool).scatter(-1, read.ids, read.valid)
    k, v = read.keys[read.rows].nan_to_num(), read.values[read.rows].nan_to_num()
    return partial_dense(q, k, v, seen=seen)


def with_zeros(q: Tensor, read: Neighbours) -> Partial:
    """The same where what was not found counts as an entry of zeros, by one dense softmax a query."""
    parts = []
    for t in range(T):
        found = read.ids[:, :, t].unsqueeze(-1).expand(-1, -1, -1, D)
        k, v = (
            x[read.rows].gather(2, found).masked_fill(~read.valid[:, :, t, :, None], 0.0)
            for x in (read.keys, read.values)
        )
        parts.append(partial_dense(q[:, :, t : t + 1], k, v))
    return Partial(torch.cat([p.o for p in parts], 2), torch.cat([p.z for p in parts if p.z is not None], 2))


@pytest.mark.parametrize("through", ["o", "z", "oz"])
@pytest.mark.parametrize("anything", [True, False], ids=["something valid", "nothing valid"])
def test_what_was_not_found_may_count_as_zeros(anything: bool, through: str) -> None:
    read = replace(stored(), zeros=True)
    read = read if anything else replace(read, valid=torch.zeros_like(read.valid))
    q = queries()
    found, expected = partial_neighbours(q, read), with_zeros(q, read)
    torch.testing.assert_close(found.o, expected.o)
    torch.testing.assert_close(found.z, expected.z)
    torch.testing.assert_close(gradient(found, q, through), gradient(expected, q, through))


def gradient(part: Partial, q: Tensor, through: str) -> Tensor:
    draw = torch.Generator().manual_seed(2)
    uneven_o, uneven_z = torch.randn(B, H, T, D, generator=draw), torch.randn(B, H, T, generator=draw)
    total = torch.zeros((), dtype=torch.float64)
    assert part.z is not None
    if "o" in through:
        total = total + (part.o * uneven_o).sum()
    if "z" in through:
        total = total + (part.z * uneven_z)[part.z > -math.inf].sum()
    return torch.autograd.grad(total, q, retain_graph=True)[0]


@pytest.mark.parametrize("make", [stored, found_everywhere])
@pytest.mark.parametrize("tile", [1, 2 * K * D * 8, 1 << 25])
def test_neighbours_equal_a_masked_softmax_over_the_whole_store(
    tile: int, make: Callable[[], Neighbours], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "TILE_BYTES", {"cpu": tile})
    q, read = queries(), make()
    found, expected = partial_neighbours(q, read), dense(q, read)
    torch.testing.assert_close(found.o, expected.o)
    torch.testing.assert_close(found.z, expected.z)
    assert found.weights is not None
    assert expected.weights is not None
    torch.testing.assert_close(found.weights, expected.weights.gather(-1, read.ids) * read.valid)
    for through in ("o", "z", "o and z"):
        torch.testing.assert_close(gradient(found, q, through), gradient(expected, q, through))


@pytest.mark.parametrize("make", [stored, found_everywhere])
def test_gradients_of_neighbours_are_those_of_their_outputs(make: Callable[[], Neighbours]) -> None:
    read = make()

    def call(q: Tensor) -> tuple[Tensor, Tensor]:
        part = partial_neighbours(q, read)
        assert part.z is not None
        return part.o, part.z.nan_to_num(neginf=0.0)

    assert torch.autograd.gradcheck(call, (queries(),))


def test_entries_that_were_not_found_are_never_touched() -> None:
    q, read = queries(), stored()
    part = partial_neighbours(q, read)
    assert part.z is not None
    assert bool(part.o.isfinite().all())
    assert torch.equal(part.o[0, :, 2], torch.zeros(H, D).double())
    assert torch.equal(part.z[0, :, 2], torch.full((H,), -math.inf).double())
    first = read.values[read.rows[0]].gather(1, read.ids[0, :, 1, :1, None].expand(H, 1, D)).squeeze(1)
    torch.testing.assert_close(part.o[0, :, 1], first)
    assert bool(gradient(part, q, "o and z").isfinite().all())
    assert not bool(gradient(part, q, "o and z")[0, :, 2].any())


def test_where_nothing_was_found_nothing_is_answered() -> None:
    q, read = queries(), stored()
    read = replace(read, ids=torch.full_like(read.ids, M - 1), valid=torch.zeros_like(read.valid))
    part = partial_neighbours(q, read)
    assert part.z is not None
    assert part.weights is not None
    assert not bool(part.o.any())
    assert not bool(part.weights.any())
    assert torch.equal(part.z, torch.full((B, H, T), -math.inf).double())
    assert not bool(gradient(part, q, "o").any())


def test_a_write_between_search_and_use_raises() -> None:
    q, read = queries(), stored()
    read.keys[0, 0, 0] += 1
    with pytest.raises(RuntimeError, match="after its backward"):
        partial_neighbours(q, read)


def test_a_write_between_forward_and_backward_raises() -> None:
    q, read = queries(), stored()
    part = partial_neighbours(q, read)
    read.keys[0, 0, 0] += 1
    with pytest.raises(RuntimeError, match="after its backward"):
        part.o.sum().backward()


@pytest.mark.parametrize("make", [stored, found_everywhere])
@pytest.mark.parametrize("held", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("asked", [torch.bfloat16, torch.float32])
def test_outputs_and_gradients_keep_the_dtype_of_the_queries(
    asked: torch.dtype, held: torch.dtype, make: Callable[[torch.dtype], Neighbours]
) -> None:
    q, read = queries(asked), make(held)
    part, expected = partial_neighbours(q, read), dense(q.double(), make(torch.float64))
    assert part.z is not None
    assert (part.o.dtype, part.z.dtype) == (asked, torch.float32)
    torch.testing.assert_close(part.o.double(), expected.o, atol=5e-2, rtol=5e-2)
    (found,) = torch.autograd.grad(part.o.float().sum(), q)
    (exact,) = torch.autograd.grad(expected.o.sum(), q)
    assert found.dtype == asked
    torch.testing.assert_close(found.double(), exact.double(), atol=0.1, rtol=0.1)


def test_neighbours_run_where_no_gradient_is_taken() -> None:
    with torch.inference_mode():
        part = partial_neighbours(queries().detach(), stored())
    torch.testing.assert_close(part.o, dense(queries(), stored()).o.detach())


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("biased", [False, True])
def test_bias_and_cap_are_those_of_dense_attention(softcap: float | None, biased: bool) -> None:
    torch.manual_seed(0)
    b, h, t, d, m, k = 2, 3, 5, 4, 11, 6
    keys, values = torch.randn(2, b, h, m, d, dtype=torch.float64).unbind()
    q = torch.randn(b, h, t, d, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(b, h, t, k, dtype=torch.float64, requires_grad=True) if biased else None
    ids = torch.rand(b, h, t, m).argsort(-1)[..., :k]
    valid = torch.rand(b, h, t, k) > 0.2
    read = Neighbours(
        keys, values, torch.zeros(b, m, dtype=torch.long), torch.arange(b), ids, valid, torch.zeros(b, h, t, k), 0
    )
    s = torch.einsum(
        "bhtd,bhtkd->bhtk",
        q,
        keys.unsqueeze(2).expand(-1, -1, t, -1, -1).gather(3, ids.unsqueeze(-1).expand(-1, -1, -1, -1, d)),
    )
    s = s if softcap is None else softcap * (s / softcap).tanh()
    s = (s if bias is None else s + bias).masked_fill(~valid, -torch.inf)
    v = values.unsqueeze(2).expand(-1, -1, t, -1, -1).gather(3, ids.unsqueeze(-1).expand(-1, -1, -1, -1, d))
    expected = (s.softmax(-1).unsqueeze(-1) * v).sum(-2), s.logsumexp(-1)
    part = partial_neighbours(q, read, bias, softcap)
    torch.testing.assert_close((part.o, part.z), expected)
    leaves = [q] if bias is None else [q, bias]
    got, want = (torch.autograd.grad(o.sin().sum() + z.cos().sum(), leaves) for o, z in ((part.o, part.z), expected))
    torch.testing.assert_close(got, want)
