import pytest
import torch
from torch import Tensor

from mnemon.index import HostKind, HostStore, find_store
from mnemon.index.store import RingKind, RingStore
from mnemon.ops import partial_neighbours

ROWS, HEADS, DIM, SIZE, K = 2, 3, 4, 40, 5


def written(block: int) -> tuple[HostStore, RingStore]:
    """The same in both: a ring that has wrapped in row 0, and few entries in row 1."""
    host = HostKind(block).empty(ROWS, HEADS, SIZE, DIM, like=torch.empty(0))
    ring = RingKind().empty(ROWS, HEADS, SIZE, DIM, like=torch.empty(0))
    draw, first = torch.Generator().manual_seed(0), torch.zeros(ROWS, dtype=torch.long)
    for lengths in ([30, 0], [25, 3]):
        fresh = [torch.randn(ROWS, HEADS, 30, DIM, generator=draw) for _ in range(2)]
        for store in (host, ring):
            store.write(*fresh, first[:, None] + torch.arange(30), torch.tensor(lengths))
        first = first + torch.tensor(lengths)
    return host, ring


def asked(t: int = 3) -> Tensor:
    return torch.randn(ROWS, HEADS, t, DIM, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("block", [1, 7, 40, 100])
@pytest.mark.parametrize("before", [None, torch.tensor([[50, 20, 0], [2, 9, 9]])])
@pytest.mark.parametrize("rows", [[0, 1], [1, 0]])
def test_a_memory_with_the_host_finds_what_a_ring_finds(block: int, before: Tensor | None, rows: list[int]) -> None:
    host, ring = written(block)
    found, expected = (store.find(asked(), K, torch.tensor(rows), before) for store in (host, ring))
    assert found is not None
    assert expected is not None
    assert torch.equal(found.places(), expected.places())
    torch.testing.assert_close(found.scores, expected.scores)
    torch.testing.assert_close(partial_neighbours(asked(), found).o, partial_neighbours(asked(), expected).o)


def test_the_block_is_an_option() -> None:
    assert find_store("host:block=512") == HostKind(512)


@pytest.mark.gpu
@pytest.mark.parametrize("before", [None, torch.tensor([[50, 20, 0], [2, 9, 9]])])
def test_a_gpu_finds_in_the_hosts_memory_what_it_finds_in_its_own(before: Tensor | None) -> None:
    host, ring = written(7)
    assert host.ring.keys.is_pinned()
    assert host.ring.values.is_pinned()
    q = asked().cuda().requires_grad_()
    found, expected = host.find(q, K, torch.arange(2), before), ring.find(asked(), K, torch.arange(2), before)
    assert found is not None
    assert expected is not None
    assert torch.equal(found.places().cpu(), expected.places())
    part = partial_neighbours(q, found)
    part.o.sum().backward()
    mine = asked().requires_grad_()
    here = partial_neighbours(mine, expected)
    here.o.sum().backward()
    torch.testing.assert_close(part.o.cpu(), here.o)
    torch.testing.assert_close(q.grad.cpu(), mine.grad)  # type: ignore[union-attr]
