"""What a search needs beside the memory does not grow with the memory."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mnemon.index import kernel
from mnemon.index.certified import certified_search
from mnemon.index.exact import Certify, exact_search, proven_search

STATUS, PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
TILE, NOISE = 48 << 20, 8 << 20
SIZES = (1 << 15, 1 << 18)

pytestmark = pytest.mark.skipif(not PEAK.exists(), reason="the peak of a process's memory is read from /proc, of Linux")


@pytest.fixture(params=["exact", "torch", "kernel"])
def search(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., object]]:
    cache = request.getfixturevalue("built") if request.param == "kernel" else tmp_path
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    kernel.built.cache_clear()
    ways: dict[str, Certify] = {"torch": certified_search, "kernel": kernel.kernel_search}
    if request.param == "exact":
        yield exact_search
    else:
        yield lambda q, keys, k: proven_search(q, keys, k, None, ways[request.param])
    kernel.built.cache_clear()


def resident(what: str) -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) << 10


def beyond(search: Callable[..., object], q: Tensor, keys: Tensor) -> int:
    """Bytes that a search needs at its peak beside what was there before."""
    PEAK.write_text("5")
    before = resident("VmRSS")
    search(q, keys, 16)
    return max(0, resident("VmHWM") - before)


@pytest.mark.parametrize(("t", "dtype"), [(64, torch.float32), (64, torch.bfloat16), (1, torch.bfloat16)])
def test_a_search_needs_a_tile_however_large_the_memory_is(
    search: Callable[..., object], t: int, dtype: torch.dtype
) -> None:
    draw = torch.Generator().manual_seed(0)
    memory = torch.randn(1, SIZES[1], 32, generator=draw).to(dtype)
    q = torch.randn(1, t, 32, generator=draw).to(dtype)
    search(q, memory[:, : SIZES[0]], 16)  # whatever is loaded and kept at the first time
    small, large = (beyond(search, q, memory[:, :size]) for size in SIZES)
    assert large <= TILE
    assert large - small <= NOISE
