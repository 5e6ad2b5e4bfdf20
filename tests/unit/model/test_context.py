import torch
from torch import Tensor

from mnemon.model.context import Context, assemble
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


def test_a_token_sees_its_window_of_what_the_row_holds() -> None:
    offset = torch.arange(-3, 3)  # three cached keys, a segment of three
    context = Context(torch.zeros(2, 1, 6, 1), torch.zeros(2, 1, 6, 1), offset, None, 3)
    distance = torch.arange(3)[:, None] - offset
    strict = [[0, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0]]
    own = [[0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1]]
    assert torch.equal(context.seen(distance, first=1, window=2), torch.tensor(strict).bool()[None, None])
    assert torch.equal(context.seen(distance, first=0, window=2), torch.tensor(own).bool()[None, None])
    valid = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]).bool()
    rowwise = Context(context.k, context.v, offset, valid, 3).seen(distance, first=1, window=2)
    partial = [[0, 0, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0]]
    assert torch.equal(rowwise, torch.tensor([partial, strict]).bool()[:, None])
