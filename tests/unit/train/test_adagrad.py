import math

import pytest
import torch

from mnemon.train.adagrad import ClippedAdagrad


def loops(p: list[float], gradients: list[list[float]], lr: float, clip: float, eps: float) -> list[float]:
    """The formula of the class for one tensor, number by number."""
    held = [0.0] * len(p)
    for g in gradients:
        norm = math.sqrt(sum(x * x for x in g))
        for i, x in enumerate(g):
            held[i] += x * x
            p[i] -= lr * min(1.0, clip / norm) * x / (math.sqrt(held[i]) + eps)
    return p


@pytest.mark.parametrize("clip", [0.03, 1.5, 1e9])
def test_steps_are_those_of_the_formula(clip: float) -> None:
    draw = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in ((3, 5), (7,))]
    gradients = [[torch.randn(t.shape, generator=draw, dtype=torch.float64) for t in tensors] for _ in range(4)]
    parameters = [t.clone().requires_grad_() for t in tensors]
    optimizer = ClippedAdagrad(parameters, lr=0.07, clip=clip)
    for several in gradients:
        for p, g in zip(parameters, several, strict=True):
            p.grad = g.clone()
        optimizer.step()
    for i, (p, start) in enumerate(zip(parameters, tensors, strict=True)):
        flat = [several[i].flatten().tolist() for several in gradients]
        wanted = loops(start.flatten().tolist(), flat, 0.07, clip, 1e-10)
        torch.testing.assert_close(p.detach().flatten(), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-14)


def test_without_clipping_it_is_the_ordinary_one() -> None:
    draw = torch.Generator().manual_seed(1)
    start = torch.randn(4, 6, generator=draw)
    ours, theirs = (start.clone().requires_grad_() for _ in range(2))
    optimizers = [ClippedAdagrad([ours], lr=0.1), torch.optim.Adagrad([theirs], lr=0.1)]
    for _ in range(5):
        g = torch.randn(4, 6, generator=draw)
        for p, optimizer in zip((ours, theirs), optimizers, strict=True):
            p.grad = g.clone()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_what_is_clipped_is_accumulated_whole() -> None:
    p = torch.zeros(2, requires_grad=True)
    optimizer = ClippedAdagrad([p], lr=1.0, clip=0.5)
    p.grad = torch.tensor([3.0, 4.0])
    optimizer.step()
    assert optimizer.state[p]["sum"].tolist() == [9.0, 16.0]
    torch.testing.assert_close(p.detach(), torch.tensor([-0.1, -0.1]))


def test_a_gradient_of_zeros_moves_nothing() -> None:
    p, untouched = torch.ones(3, requires_grad=True), torch.ones(2, requires_grad=True)
    optimizer = ClippedAdagrad([p, untouched], lr=1.0, clip=0.03)
    p.grad = torch.zeros(3)
    optimizer.step()
    assert p.tolist() == [1.0] * 3
    assert untouched not in optimizer.state
