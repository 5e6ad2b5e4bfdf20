import pytest
import torch

from mnemon.ops.dropout import drop_, rate


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_a_sign_tells_what_is_dropped_and_nothing_else_changes(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weights = torch.rand(301, 333).to(dtype)
    marked = drop_(weights.clone(), 0.3)
    assert torch.equal(marked.abs(), weights)
    assert torch.equal(marked.relu(), weights.where(~marked.signbit(), 0.0))
    assert marked.signbit().float().mean().item() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("dropout", [1e-9, 0.05, 0.5, 0.999999])
def test_what_is_dropped_is_the_share_that_is_told(dropout: float) -> None:
    torch.manual_seed(0)
    marked = drop_(torch.ones(1000, 1000), dropout)
    assert marked.signbit().double().mean().item() == pytest.approx(rate(dropout), abs=0.002)
    assert abs(rate(dropout) - dropout) <= 1 / (1 << 16)


def test_neighbouring_draws_are_independent() -> None:
    torch.manual_seed(0)
    dropped = drop_(torch.ones(1 << 18), 0.5).signbit().double() - 0.5
    for lag in range(1, 9):
        assert abs((dropped[lag:] * dropped[:-lag]).mean().item()) < 0.002


def test_the_generator_of_torch_decides() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(drop_(torch.ones(7, 3), 0.5))
    assert torch.equal(*states)
    assert not torch.equal(drop_(torch.ones(7, 3), 0.5), states[0])
