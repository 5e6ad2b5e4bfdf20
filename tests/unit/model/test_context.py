import torch
from torch import Tensor

from mnemon.model.context import assemble
from mnemon.ops import Hidden, Shared

B, H, T, C, D, E = 2, 3, 4, 5, 2, 6


def project(h: Tensor) -> tuple[Tensor, Tensor]:
    """Keys are the first channels of the hidden state, values their negative."""
    k = h[:, None, :, :D].expand(-1, H, -1, -1)
    return k, -k


def local(valid: Tensor | None = None) -> Hidden:
    return Hidden(torch.randn(B, T, E), torch.arange(T), valid)


CACHED = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]).bool()


def test_hidden_states_are_projected_with_the_segment() -> None:
    cache, here = Hidden(torch.randn(B, C, E), torch.arange(-C, 0), CACHED), local()
    found = assemble(here, cache, project, reach=9)
    k, v = project(torch.cat([cache.h, here.h], 1))
    assert torch.equal(found.k, k)
    assert torch.equal(found.v, v)
    assert found.offset.tolist() == [-5, -4, -3, -2, -1, 0, 1, 2, 3]
    assert torch.equal(found.valid, torch.cat([CACHED, torch.ones(B, T).bool()], 1))
    assert found.cached == 5


def test_cached_keys_and_values_are_taken_as_they_are() -> None:
    cache, here = Shared(torch.randn(B, H, C, D), torch.randn(B, H, C, D), torch.arange(-C, 0)), local()
    found = assemble(here, cache, project, reach=9)
    assert torch.equal(found.k[:, :, :C], cache.k)
    assert torch.equal(found.v[:, :, :C], cache.v)
    assert torch.equal(found.v[:, :, C:], project(here.h)[1])
    assert found.valid is None


def test_the_cache_is_cut_to_its_newest_part_within_reach() -> None:
    cache = Shared(torch.randn(B, H, C, D), torch.randn(B, H, C, D), torch.arange(-C, 0), CACHED)
    found = assemble(local(), cache, project, reach=4)
    assert torch.equal(found.k[:, :, :4], cache.k[:, :, 1:])
    assert found.offset.tolist() == [-4, -3, -2, -1, 0, 1, 2, 3]
    assert torch.equal(found.valid[:, :4], CACHED[:, 1:])
    assert found.cached == 4


def test_without_a_cache_there_is_the_segment_alone() -> None:
    valid = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]]).bool()
    here = local(valid)
    found = assemble(here, None, project, reach=9)
    assert torch.equal(found.k, project(here.h)[0])
    assert (found.cached, found.valid is valid) == (0, True)
