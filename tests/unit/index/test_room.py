from pathlib import Path

import pytest
import torch

from mnemon.config import Problem
from mnemon.index import room
from mnemon.index.room import free_bytes, rooms
from mnemon.index.store import RingStore


def full(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda: free)


def test_there_is_room_of_the_type_and_shape_that_is_asked_for() -> None:
    like = torch.zeros(1, dtype=torch.bfloat16)
    a, b = rooms(like, (2, 3), (4,))
    assert (a.shape, b.shape, a.dtype) == ((2, 3), (4,), torch.bfloat16)


def test_what_does_not_fit_says_how_much_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, 5000)
    with pytest.raises(Problem, match=r"8,000 bytes are needed \(5,000 are free\); what is remembered is kept"):
        rooms(torch.zeros(1), (1000,), (1000,))
    monkeypatch.setattr(room, "free_bytes", lambda: None)
    with pytest.raises(Problem, match=r"562,949,953,421,312 bytes are needed \(.*allocate"):
        rooms(torch.zeros(1), (2, 1 << 40, 64))


def test_a_ring_that_cannot_grow_keeps_its_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(0)
    keys = torch.randn(1, 2, 1500, 3, generator=draw)
    store = RingStore.empty(1, 2, 9000, 3, keys)
    store.write(keys, keys, torch.arange(1500)[None], torch.tensor([1500]))
    full(monkeypatch, 100_000)
    with pytest.raises(Problem, match="196,608 bytes are needed"):
        store.write(keys, keys, torch.arange(1500)[None], torch.tensor([1500]))
    assert store.written.tolist() == [1500]
    assert torch.equal(store.keys[:, :, :1500], keys)
    assert torch.equal(store.values[:, :, :1500], keys)


def test_what_is_free_is_the_least_of_what_system_and_container_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "SYSTEM", tmp_path / "meminfo")
    monkeypatch.setattr(room, "GROUP", tmp_path)
    assert free_bytes() is None
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable:    500 kB\n")
    assert free_bytes() == 512_000
    for name, said in {"max": "max", "current": "7000", "stat": "anon 3\ninactive_file 1000"}.items():
        (tmp_path / f"memory.{name}").write_text(said + "\n")
    assert free_bytes() == 512_000
    (tmp_path / "memory.max").write_text("10000\n")
    assert free_bytes() == 4000
    (tmp_path / "memory.max").write_text("1000\n")
    assert free_bytes() == 0
