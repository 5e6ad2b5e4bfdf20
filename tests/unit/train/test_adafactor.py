import itertools
import math

import pytest
import torch
from torch import Tensor

from mnemon.train import adafactor
from mnemon.train.adafactor import Adafactor

SHAPES = {  # shape: the two dimensions that are factored with factor_from=5
    (7,): None,
    (4, 9): None,
    (6, 5): (0, 1),
    (5, 8): (0, 1),
    (6, 2, 5): (0, 2),
    (2, 5, 7): (1, 2),
}


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def second_moment(
    square: Tensor, v: dict[tuple[int, ...], float], pair: tuple[int, int] | None, share: float
) -> Tensor:
    """sqrt(v) entry by entry; the means that are kept are those of `pair`'s rows and columns, by index."""
    shape, places = square.shape, list(itertools.product(*map(range, square.shape)))
    if pair is None:
        for at in places:
            v[at] = (1 - share) * v.get(at, 0.0) + share * square[at].item()
        return torch.tensor([math.sqrt(v[at]) for at in places], dtype=torch.float64).reshape(shape)
    for dim in pair:  # averaged over `dim`, whose index is then -1
        for at in {(*at[:dim], -1, *at[dim + 1 :]) for at in places}:
            line = [square[(*at[:dim], i, *at[dim + 1 :])].item() for i in range(shape[dim])]
            v[at] = (1 - share) * v.get(at, 0.0) + share * mean(line)
    roots = []
    for at in places:
        row, column = ((*at[:dim], -1, *at[dim + 1 :]) for dim in reversed(pair))
        first = pair[0]
        rows = mean([v[(*row[:first], i, *row[first + 1 :])] for i in range(shape[first])])
        roots.append(math.sqrt(v[row] * v[column] / rows))
    return torch.tensor(roots, dtype=torch.float64).reshape(shape)


def rms(x: Tensor) -> float:
    return math.sqrt(mean([value * value for value in x.flatten().tolist()]))


@pytest.mark.parametrize("piece", [11, 1 << 18], ids=["in pieces", "at once"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("scale", [1.0, 1e-5])  # the second is below the floor
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_steps_are_those_of_the_formula(
    shape: tuple[int, ...], scale: float, momentum: float, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adafactor, "PIECE", piece)
    draw = torch.Generator().manual_seed(0)
    p = (scale * torch.randn(shape, generator=draw, dtype=torch.float64)).requires_grad_()
    wanted, v, m = p.detach().clone(), {}, torch.zeros(shape, dtype=torch.float64)
    optimizer = Adafactor([p], lr=0.3, momentum=momentum, factor_from=5)
    for t in range(1, 5):
        g = t * torch.randn(shape, generator=draw, dtype=torch.float64)
        p.grad = g.clone()
        optimizer.step()
        u = g / second_moment(g * g + 1e-30, v, SHAPES[shape], t**-0.8)
        u = u / max(1.0, rms(u) / 1.0)
        m = momentum * m + (1 - momentum) * 0.3 * max(rms(wanted), 1e-3) * u
        wanted = wanted - m
    torch.testing.assert_close(p.detach(), wanted, rtol=1e-12, atol=1e-15)


def test_a_large_tensor_keeps_a_row_and_a_column_and_a_small_one_everything() -> None:
    large, small, tall = (torch.ones(shape, requires_grad=True) for shape in ((2, 128, 130), (127, 500), (4000,)))
    optimizer = Adafactor([large, small, tall], lr=0.1)
    for p in (large, small, tall):
        p.grad = torch.ones_like(p)
    optimizer.step()
    sizes = [{name: t.numel() for name, t in optimizer.state[p].items()} for p in (large, small, tall)]
    assert sizes == [
        {"step": 1, "row": 256, "column": 260},
        {"step": 1, "square": 127 * 500},
        {"step": 1, "square": 4000},
    ]


@pytest.mark.parametrize("shape", [(130, 129), (3,)])
def test_a_gradient_of_zeros_moves_nothing(shape: tuple[int, ...]) -> None:
    p, untouched = torch.ones(shape, requires_grad=True), torch.ones(2, requires_grad=True)
    optimizer = Adafactor([p, untouched], lr=0.1, momentum=0.9)
    for _ in range(2):
        p.grad = torch.zeros(shape)
        optimizer.step()
    assert torch.equal(p.detach(), torch.ones(shape))
    assert untouched not in optimizer.state


def test_the_scale_of_the_gradient_makes_no_difference() -> None:
    moved = []
    for scale in (1e-6, 1.0, 1e6):
        draw = torch.Generator().manual_seed(2)
        p = torch.randn(130, 131, generator=draw).requires_grad_()
        optimizer = Adafactor([p], lr=0.1)
        p.grad = scale * torch.randn(130, 131, generator=draw)
        optimizer.step()
        moved.append(p.detach())
    torch.testing.assert_close(moved[0], moved[1])
    torch.testing.assert_close(moved[2], moved[1])
