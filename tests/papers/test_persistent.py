"""The reparameterisation of persistent vectors, as in the released code of arXiv 1907.01470."""

import math

import pytest
import torch

from mnemon.pools.persistent import PersistentPool
from streams import whole

H, D, N = 3, 16, 400


def made() -> PersistentPool:
    torch.manual_seed(0)
    return PersistentPool(H, D, N).double()


def real(pool: PersistentPool) -> tuple[torch.Tensor, torch.Tensor]:
    """The vectors that queries meet."""
    read = pool.read(pool.init_state(1), torch.zeros(1, H, 5, D), whole([0], 5))
    assert read is not None
    return read.k.detach().clone(), read.v.detach().clone()


def test_real_vectors_have_unit_variance_at_the_start() -> None:
    for vectors in real(made()):
        assert vectors.std().item() == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.Adagrad])
def test_a_step_without_scale_moves_the_real_vectors_by_the_roots(optimizer: type[torch.optim.Optimizer]) -> None:
    pool, lr = made(), 1e-3
    before = real(pool)
    steps = optimizer(pool.parameters(), lr=lr)
    (pool.key.square().sum() + pool.value.sum()).backward()
    steps.step()
    for old, new, factor in zip(before, real(pool), (math.sqrt(D), math.sqrt(N)), strict=True):
        torch.testing.assert_close((new - old).abs(), torch.full_like(old, lr * factor), rtol=1e-4, atol=0)


def test_gradients_of_the_raw_vectors_are_multiplied_by_the_roots() -> None:
    pool = made()
    read = pool.read(pool.init_state(1), torch.zeros(1, H, 5, D), whole([0], 5))
    assert read is not None
    (read.k.sum() + read.v.sum()).backward()
    torch.testing.assert_close(pool.key.grad, torch.full_like(pool.key, math.sqrt(D)))
    torch.testing.assert_close(pool.value.grad, torch.full_like(pool.value, math.sqrt(N)))
