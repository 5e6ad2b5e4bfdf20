"""One store in a process of its own, so that what it takes of the memory is its own: filled, or opened and asked."""

import json
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from mnemon.index import MappedKind, MappedStore, MilvusKind, MilvusStore, Store, StoreShape, find_store
from mnemon.ops import partial_neighbours

SEGMENT = 512  # entries of one write
AT_ONCE, ROUNDS = 128, 3  # tokens that are asked together, and how often
STAYS = "bench"  # name of the store in a Milvus


@dataclass(frozen=True)
class Job:
    """What one process does: `store` as it is said, where it lies, and what is written to it and asked of it.

    `vectors`: a file of keys, values and queries; without one they are random unit vectors.
    """

    step: str
    store: str
    place: str
    size: int
    heads: int
    dim: int
    top_k: int
    tokens: int
    dtype: str
    vectors: str | None

    @property
    def shape(self) -> StoreShape:
        return StoreShape(1, self.heads, self.size, self.dim, self.dtype)


def written(job: Job) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Keys and values [1 h n d] and positions [1 n] of one segment after another."""
    known = None if job.vectors is None else load_file(job.vectors)
    for first in range(0, job.size, SEGMENT):
        n = min(SEGMENT, job.size - first)
        if known is None:
            draw = torch.Generator().manual_seed(first)
            keys, values = torch.randn(2, 1, job.heads, n, job.dim, generator=draw)
            keys = functional.normalize(keys, dim=-1)
        else:
            keys, values = (known[name][None, :, first : first + n] for name in ("keys", "values"))
        dtype = getattr(torch, job.dtype)
        yield keys.to(dtype), values.to(dtype), torch.arange(first, first + n)[None]


def queries(job: Job, count: int) -> Tensor:
    """Queries [n h d], a token each: `count`, or as many as there are."""
    if job.vectors is not None:
        asked = load_file(job.vectors)["queries"]
        chosen = torch.randperm(asked.shape[1], generator=torch.Generator().manual_seed(0))[:count]
        return asked[:, chosen].transpose(0, 1).to(getattr(torch, job.dtype))
    draw = torch.Generator().manual_seed(-1)
    asked = functional.normalize(torch.randn(count, job.heads, job.dim, generator=draw), dim=-1)
    return asked.to(getattr(torch, job.dtype))


def fill(job: Job) -> dict[str, Any]:
    """Write all entries, so that another process can open the store."""
    store, took = _made(job), 0.0
    for keys, values, positions in written(job):
        begun = perf_counter()
        store.write(keys, values, positions, torch.tensor([keys.shape[2]]))
        took += perf_counter() - begun
    if not isinstance(store, MappedStore | MilvusStore):
        save_file({name: x.contiguous() for name, x in store.tensors().items()}, job.place)
    return {"write_us": 1e6 * took / job.size}


def ask(job: Job) -> dict[str, Any]:
    """Open the store and ask it, a token at a time and a segment at once."""
    asked = queries(job, job.tokens)
    before = _from_here()
    begun = perf_counter()
    store = _opened(job)
    opened = perf_counter() - begun
    took, cpu, places = [], [], []
    for q in asked[:, None, :, None]:  # 1 h 1 d
        begun, used = perf_counter(), process_time()
        found = store.find(q, job.top_k, torch.tensor([0]))
        assert found is not None
        partial_neighbours(q, found)
        took.append(1e3 * (perf_counter() - begun))
        cpu.append(1e3 * (process_time() - used))
        places.append(found.places()[0, :, 0].tolist())
    peak = _peak()
    together = queries(job, AT_ONCE).transpose(0, 1)[None]  # 1 h n d
    rounds = []
    for _ in range(ROUNDS):
        begun = perf_counter()
        store.find(together, job.top_k, torch.tensor([0]))
        rounds.append(perf_counter() - begun)
    return {
        "open_seconds": opened,
        "ms_a_token": sorted(took)[len(took) // 2],
        "cpu_ms_a_token": sorted(cpu)[len(cpu) // 2],
        "queries_a_second": together.shape[1] * together.shape[2] / sorted(rounds)[ROUNDS // 2],
        "peak_mib": (peak - before) / 1024,
        "process_mib": peak / 1024,
        "places": places,
    }


def _made(job: Job) -> Store:
    kind = find_store(job.store)
    if isinstance(kind, MappedKind):
        return MappedStore.create(Path(job.place), job.shape)
    if isinstance(kind, MilvusKind):
        return MilvusStore.create(kind.place(), STAYS, job.shape)
    like = torch.empty(0, dtype=getattr(torch, job.dtype))
    return kind.empty(1, job.heads, job.size, job.dim, like=like)


def _opened(job: Job) -> Store:
    kind = find_store(job.store)
    if isinstance(kind, MappedKind):
        return MappedStore.open(Path(job.place))
    if isinstance(kind, MilvusKind):
        return MilvusStore.open(kind.place(), STAYS, job.dim, job.dtype)
    return kind.loaded(load_file(job.place), job.size)


def _from_here() -> int:
    """KiB of memory that this process has now; on Linux `_peak` begins anew."""
    if sys.platform != "linux":
        return _peak()
    Path("/proc/self/clear_refs").write_text("5")
    return _told("VmRSS")


def _told(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def _peak() -> int:
    """The most memory that this process had at once so far, in KiB."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
    return _told("VmHWM")


def main(said: str) -> None:
    torch.set_num_threads(1)
    job = Job(**json.loads(said))
    with torch.inference_mode():
        found = {"fill": fill, "ask": ask}[job.step](job)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
