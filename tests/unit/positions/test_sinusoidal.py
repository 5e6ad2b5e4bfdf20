import math

import pytest
import torch

from mnemon.positions.sinusoidal import SinusoidalConfig

STREAM, SEGMENT = torch.tensor([[70, 71], [0, 9000]]), torch.tensor([[0, 1], [3, 4]])


@pytest.mark.parametrize("since", ["stream", "segment"])
def test_places_are_sines_and_cosines_of_falling_rates(since: str) -> None:
    found = SinusoidalConfig(since=since).build(dim=6, n_heads=3, head_dim=2).embed(STREAM, SEGMENT)
    for row, t in ((0, 0), (0, 1), (1, 0), (1, 1)):
        place = int((STREAM if since == "stream" else SEGMENT)[row, t])
        angles = [place * 10_000 ** (-2 * i / 6) for i in range(3)]
        expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        torch.testing.assert_close(found[row, t], torch.tensor(expected), atol=1e-3, rtol=0)


def test_nothing_is_learned() -> None:
    assert list(SinusoidalConfig().build(6, 3, 2).parameters()) == []
