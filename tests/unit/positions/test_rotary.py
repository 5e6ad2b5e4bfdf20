import pytest
import torch

from mnemon.positions.rotary import Rotary, RotaryConfig


def test_channels_turn_in_pairs_by_position_and_frequency() -> None:
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    position = torch.tensor([-3, 0, 1, 2, 50])
    found = Rotary(4, base=100.0).rotate(x, position)
    for t, p in enumerate(position.tolist()):
        for pair, frequency in enumerate((1.0, 0.1)):  # 100^(-2 i / 4)
            turned = torch.complex(x[:, :, t, pair], x[:, :, t, pair + 2]) * torch.exp(torch.tensor(1j * p * frequency))
            torch.testing.assert_close(found[:, :, t, pair], turned.real)
            torch.testing.assert_close(found[:, :, t, pair + 2], turned.imag)


def test_scores_depend_on_the_distance_alone() -> None:
    scheme = RotaryConfig().build(dim=6, n_heads=3, head_dim=6)
    q, k = torch.randn(2, 2, 3, 1, 6, dtype=torch.float64).unbind()
    near = scheme.rotate(q, torch.tensor([7])) @ scheme.rotate(k, torch.tensor([4])).mT
    far = scheme.rotate(q, torch.tensor([-20])) @ scheme.rotate(k, torch.tensor([-23])).mT
    torch.testing.assert_close(near, far)
    assert not torch.allclose(near, scheme.rotate(q, torch.tensor([7])) @ scheme.rotate(k, torch.tensor([3])).mT)


def test_lengths_are_kept() -> None:
    x = torch.randn(2, 3, 5, 6)
    torch.testing.assert_close(Rotary(6).rotate(x, torch.arange(5)).norm(dim=-1), x.norm(dim=-1))


def test_an_odd_head_dim_is_refused() -> None:
    with pytest.raises(ValueError, match="even head_dim, got 5"):
        Rotary(5)
