import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnemon.config import Problem
from mnemon.generate.sampling import Sampling, draw, probabilities

P = torch.tensor([[0.4, 0.05, 0.3, 0.25], [0.1, 0.2, 0.3, 0.4]])


def kept(**settings: float) -> list[list[float]]:
    found = probabilities(P.log(), Sampling(**{"temperature": 1.0, **settings}))
    return [[round(p, 4) for p in row] for row in found.tolist()]


def test_without_limits_tokens_are_drawn_from_the_softmax() -> None:
    assert kept() == [[0.4, 0.05, 0.3, 0.25], [0.1, 0.2, 0.3, 0.4]]


def test_temperature_divides_the_logits() -> None:
    squared = P.square() / P.square().sum(-1, keepdim=True)
    assert torch.allclose(probabilities(P.log(), Sampling(temperature=0.5)), squared)


def test_temperature_zero_takes_the_likeliest() -> None:
    assert kept(temperature=0.0) == [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]


def test_top_k_keeps_the_k_likeliest() -> None:
    assert kept(top_k=2) == [[0.5714, 0.0, 0.4286, 0.0], [0.0, 0.0, 0.4286, 0.5714]]
    assert kept(top_k=99) == kept()


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    assert kept(top_p=0.5) == [[0.5714, 0.0, 0.4286, 0.0], [0.0, 0.0, 0.4286, 0.5714]]
    assert kept(top_p=0.75)[0] == [0.4211, 0.0, 0.3158, 0.2632]
    assert kept(top_p=0.01) == [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    assert kept(top_p=1.0) == kept()


def test_both_limits_hold_and_the_second_counts_what_the_first_left() -> None:
    assert kept(top_k=2, top_p=0.56)[0] == [1.0, 0.0, 0.0, 0.0]


@given(st.integers(0, 5), st.floats(0, 3), st.integers(1, 7), st.floats(0.01, 1.0))
def test_what_tokens_are_drawn_from_adds_up_to_one(seed: int, temperature: float, top_k: int, top_p: float) -> None:
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(seed))
    logits[:, 2] = -math.inf
    p = probabilities(logits, Sampling(temperature=temperature, top_k=top_k, top_p=top_p))
    assert torch.allclose(p.sum(-1), torch.ones(3))
    assert (p[:, 2] == 0).all()
    assert ((p > 0).sum(-1) <= top_k).all()


def test_draws_follow_the_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    found = draw(P[:1].log().expand(20_000, -1), Sampling(temperature=1.0), generator)
    shares = torch.bincount(found, minlength=4) / len(found)
    assert torch.allclose(shares, P[0], atol=0.015)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -1.0},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"max_tokens": 0},
        {"rows": 0},
    ],
)
def test_settings_out_of_range_are_a_problem_naming_them(settings: dict[str, float]) -> None:
    (name,) = settings
    with pytest.raises(Problem, match=name):
        Sampling(**settings)
