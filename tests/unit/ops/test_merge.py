import math

import pytest
import torch
from torch import Tensor

from mnemon.ops import Partial, added, beside, gated, joint, partial_dense, partial_fused

B, H, T, D = 2, 3, 5, 4
SIZES = (7, 1, 6)


def pools(dtype: torch.dtype = torch.float64) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    draw = torch.Generator().manual_seed(0)
    q = torch.randn(B, H, T, D, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
    pairs = []
    for n in SIZES:
        k, v = (torch.randn(B, H, n, D, generator=draw, dtype=torch.float64).to(dtype) for _ in range(2))
        pairs.append((k.requires_grad_(), v.requires_grad_()))
    return q, pairs


def empty(dtype: torch.dtype = torch.float64) -> Partial:
    return Partial(torch.zeros(B, H, T, D, dtype=dtype), torch.full((B, H, T), -math.inf, dtype=dtype))


def uneven(part: Partial) -> Tensor:
    """A scalar to which every output and every z contributes differently."""
    assert part.z is not None
    draw = torch.Generator().manual_seed(1)
    return (part.o * torch.randn(part.o.shape, generator=draw)).sum() + (
        part.z * torch.randn(part.z.shape, generator=draw)
    ).sum()


def test_joint_merge_equals_concatenation_in_outputs_and_gradients() -> None:
    q, pairs = pools()
    merged = joint([partial_dense(q, k, v) for k, v in pairs])
    whole = partial_dense(q, torch.cat([k for k, _ in pairs], 2), torch.cat([v for _, v in pairs], 2))
    torch.testing.assert_close(merged.o, whole.o)
    torch.testing.assert_close(merged.z, whole.z)
    leaves = [q, *(x for pair in pairs for x in pair)]
    torch.testing.assert_close(torch.autograd.grad(uneven(merged), leaves), torch.autograd.grad(uneven(whole), leaves))


def test_joint_shares_are_the_weight_of_each_pool_and_sum_to_one() -> None:
    q, pairs = pools()
    merged = joint([partial_dense(q, k, v) for k, v in pairs])
    whole = partial_dense(q, torch.cat([k for k, _ in pairs], 2), torch.cat([v for _, v in pairs], 2))
    assert merged.weights is not None
    assert whole.weights is not None
    expected = torch.stack([part.sum(-1) for part in whole.weights.split(SIZES, -1)], -1)
    torch.testing.assert_close(merged.weights, expected)
    torch.testing.assert_close(merged.weights.sum(-1), torch.ones(B, H, T).double())


def test_joint_merge_may_be_nested() -> None:
    q, pairs = pools()
    first, second, third = (partial_dense(q, k, v) for k, v in pairs)
    flat, nested = joint([first, second, third]), joint([joint([first, second]), third])
    torch.testing.assert_close(nested.o, flat.o)
    torch.testing.assert_close(nested.z, flat.z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("first", [True, False])
def test_an_empty_pool_changes_nothing_bit_for_bit(first: bool, dtype: torch.dtype) -> None:
    q, pairs = pools(dtype)
    seen = torch.ones(1, 1, T, SIZES[0], dtype=torch.bool)
    seen[..., 2, :] = False  # a query that sees nothing at all
    part = partial_dense(q, *pairs[0], seen=seen)
    nothing = Partial(torch.zeros(B, H, T, D, dtype=dtype), torch.full((B, H, T), -math.inf))
    merged = joint([nothing, part] if first else [part, nothing])
    assert merged.o.dtype == dtype
    assert merged.z is not None
    assert part.z is not None
    assert torch.equal(merged.o, part.o)
    assert torch.equal(merged.z, part.z)


def test_merging_only_empty_pools_is_empty_with_finite_gradients() -> None:
    q, pairs = pools()
    parts = [partial_dense(q, k, v, seen=torch.zeros(1, 1, T, k.shape[2], dtype=torch.bool)) for k, v in pairs]
    merged = joint(parts)
    assert merged.z is not None
    assert torch.equal(merged.o, torch.zeros_like(merged.o))
    assert torch.equal(merged.z, torch.full_like(merged.z, -math.inf))
    for gradient in torch.autograd.grad(merged.o.sum(), [q, *pairs[0]]):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_gradients_are_finite_where_one_pool_is_empty() -> None:
    q, pairs = pools()
    hidden = torch.zeros(1, 1, T, SIZES[2], dtype=torch.bool)
    merged = joint([partial_dense(q, *pairs[0]), partial_dense(q, *pairs[2], seen=hidden)])
    gradients = torch.autograd.grad(uneven(merged), [q, *pairs[0], *pairs[2]])
    alone = torch.autograd.grad(uneven(partial_dense(q, *pairs[0])), [q, *pairs[0]])
    torch.testing.assert_close(gradients[:3], alone)
    assert all(not bool(gradient.any()) for gradient in gradients[3:])


def test_a_partial_without_log_sum_exp_cannot_merge_jointly() -> None:
    q, pairs = pools()
    with pytest.raises(ValueError, match="no log-sum-exp"):
        joint([partial_fused(q, *pairs[0]), partial_dense(q, *pairs[1])])


def test_gate_mixes_head_by_head_and_keeps_the_z_of_the_rest() -> None:
    q, pairs = pools()
    rest, memory = partial_dense(q, *pairs[0]), partial_dense(q, *pairs[2])
    gate = torch.tensor([0.0, 0.25, 1.0]).double()
    mixed = gated(rest, memory, gate)
    torch.testing.assert_close(mixed.o[:, 0], rest.o[:, 0])
    torch.testing.assert_close(mixed.o[:, 1], 0.75 * rest.o[:, 1] + 0.25 * memory.o[:, 1])
    torch.testing.assert_close(mixed.o[:, 2], memory.o[:, 2])
    assert mixed.z is rest.z


def test_gate_has_the_gradient_of_the_difference_where_there_is_memory() -> None:
    q, pairs = pools()
    rest = partial_dense(q, *pairs[0])
    seen = torch.ones(B, 1, T, SIZES[2], dtype=torch.bool)
    seen[1, :, 3] = False
    memory = partial_dense(q, *pairs[2], seen=seen)
    gate = torch.full((H,), 0.3).double().requires_grad_()
    (found,) = torch.autograd.grad(gated(rest, memory, gate).o.sum(), gate)
    there = seen.any(-1, keepdim=True)
    torch.testing.assert_close(found, ((memory.o - rest.o) * there).sum((0, 2, 3)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gate_over_an_empty_memory_changes_nothing_bit_for_bit(dtype: torch.dtype) -> None:
    q, pairs = pools(dtype)
    rest = partial_dense(q, *pairs[0])
    gate = torch.tensor([0.1, 0.5, 0.9]).requires_grad_()
    nothing = Partial(torch.zeros(B, H, T, D, dtype=dtype), torch.full((B, H, T), -math.inf))
    for memory in (None, nothing):
        mixed = gated(rest, memory, gate)
        assert mixed.o.dtype == dtype
        assert torch.equal(mixed.o, rest.o)
        (gradient,) = torch.autograd.grad(mixed.o.sum(), gate, retain_graph=True)
        assert torch.equal(gradient, torch.zeros(H))


def test_gate_needs_no_z_of_the_rest() -> None:
    q, pairs = pools()
    memory, gate = partial_dense(q, *pairs[2]), torch.full((H,), 0.5).double()
    fused, dense = (gated(path(q, *pairs[0]), memory, gate) for path in (partial_fused, partial_dense))
    torch.testing.assert_close(fused.o, dense.o)
    assert fused.z is None


def test_empty_partials_merge_with_each_other() -> None:
    merged = joint([empty(), empty()])
    assert bool((merged.o == 0).all())


def test_added_outputs_are_those_of_separate_softmaxes() -> None:
    q, pairs = pools()
    parts = [partial_dense(q, k, v) for k, v in pairs]
    both = added(parts)
    torch.testing.assert_close(both.o, sum(part.o for part in parts))
    assert both.z is None
    assert added(parts[:1]) is parts[0]


def test_heads_stand_beside_each_other_in_the_order_of_the_parts() -> None:
    q, pairs = pools()
    first, second = (partial_dense(q, k, v) for k, v in pairs[:2])
    assert torch.equal(beside([first, second]).o, torch.cat([first.o, second.o], dim=1))
    assert beside([first]) is first
