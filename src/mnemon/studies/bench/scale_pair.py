"""Two processes that each search half of the entries, their best merged by a third: what the formula of shards says."""

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mnemon.config import Problem
from mnemon.index import Store, find_store
from mnemon.index.fetched import fetched
from mnemon.ops import Neighbours, partial_neighbours
from mnemon.studies.bench.scale_model import Fit
from mnemon.studies.bench.store_alone import Job, queries, written

PING = b"?"
SHARDS = 2
WARM = 3  # queries that are asked before any is timed
PARTS = ("send", "wait", "search", "read", "merge", "attend")
Start = Callable[[Callable[[Connection, Job, int], None], tuple[Connection, Job, int]], Any]


def start_process(work: Callable[[Connection, Job, int], None], given: tuple[Connection, Job, int]) -> Any:
    """A process that has nothing of this one."""
    process = get_context("spawn").Process(target=work, args=given, daemon=True)
    process.start()
    given[0].close()  # the process has its own: should it end, that is seen here
    return process


def check_pair(job: Job, search: Fit, merge: Fit, start: Start = start_process) -> dict[str, Any]:
    """Milliseconds of a token whose entries two processes hold, beside the formula and one process that holds all.

    The formula: search among half, a round trip of messages as long as question and answer, which are not searched for,
    packing an answer and reading two, and the merge. Pair and whole are measured one after the other, so that neither
    finds the caches that the other left. `parts`: median of each step of a token; `search` is the slower one's own
    time, and what `wait` has beyond it went by on the way. `same`: the share of the best of all that the two found.
    """
    pipes, workers = [], []
    for shard in range(SHARDS):
        ours, theirs = get_context("spawn").Pipe()
        workers.append(start(serve, (theirs, job, shard)))
        pipes.append(ours)
    try:
        for pipe in pipes:
            pipe.recv_bytes()  # it is filled
        whole, asked = _filled(job, range(1)), queries(job, job.tokens)[:, None, :, None]  # n 1 h 1 d
        again = [*asked[:WARM], *asked]
        trip = _median([_trip(pipes[0]) for _ in range(50)])
        pair = [_pair(pipes, q, job) for q in again][WARM:]
        one = [_whole(whole, q, job) for q in again][WARM:]
        copy = _median([_copied(whole, q, job) for q in again])
    except (EOFError, ConnectionError):
        raise Problem("a process that held half of the entries ended: is there memory for all of them twice?") from None
    finally:
        for pipe in pipes:
            pipe.close()
        for worker in workers:
            worker.join()
    same = [float(np.isin(places, best).mean()) for (_, places), (_, best) in zip(pair, one, strict=True)]
    parts = {name: _median([took[name] for took, _ in pair]) for name in PARTS}
    return {
        "entries": job.size,
        "told_ms": search.at(job.size / SHARDS) + trip + copy + merge.at(SHARDS),
        "measured_ms": _median([sum(took.values()) - took["search"] for took, _ in pair]),
        "parts": parts,
        "told_parts": {
            "search": search.at(job.size / SHARDS),
            "trip": trip,
            "copy": copy,
            "merge": merge.at(SHARDS),
        },
        "one_process_ms": _median([took for took, _ in one]),
        "same": sum(same) / len(same),
    }


def serve(pipe: Connection, job: Job, shard: int) -> None:
    """Hold each second segment, and answer queries with the best of them: scores, places, keys and values."""
    torch.set_num_threads(1)
    store = _filled(job, range(shard, SHARDS, SHARDS))
    blank = bytes(8 + job.heads * job.top_k * (12 + 8 * job.dim))
    pipe.send_bytes(PING)
    with suppress(EOFError, ConnectionError):  # nobody asks any more
        while said := pipe.recv_bytes():
            pipe.send_bytes(blank if said == PING else _answer(store, said, job))


def _filled(job: Job, shards: range) -> Store:
    """A store of the segments of one shard, or of all."""
    store = find_store(job.store).empty(1, job.heads, job.size, job.dim, like=torch.empty(0))
    for place, (keys, values, positions) in enumerate(written(job)):
        if place % shards.step == shards.start:
            store.write(keys.float(), values.float(), positions, torch.tensor([keys.shape[2]]))
    return store


@torch.inference_mode()
def _answer(store: Store, said: bytes, job: Job) -> bytes:
    begun = perf_counter()
    q = torch.frombuffer(bytearray(said), dtype=torch.float32).view(1, job.heads, 1, job.dim)
    found = store.find(q, job.top_k, torch.tensor([0]))
    assert found is not None
    return _packed(found, job, 1e3 * (perf_counter() - begun))


def _packed(found: Neighbours, job: Job, took: float) -> bytes:
    """What is sent: how long the search took, then scores, places, keys and values."""
    head, ids = torch.arange(job.heads)[:, None], found.ids[0, :, 0]
    parts = found.scores[0, :, 0], found.places()[0, :, 0], found.keys[0][head, ids], found.values[0][head, ids]
    return b"".join((np.float64(took).tobytes(), *(part.contiguous().numpy().tobytes() for part in parts)))


@torch.inference_mode()
def _pair(pipes: list[Connection], q: Tensor, job: Job) -> tuple[dict[str, float], np.ndarray]:
    """Milliseconds of each part of a query, and the places that were found."""
    clock = [perf_counter()]
    for pipe in pipes:
        pipe.send_bytes(q.float().numpy().tobytes())
    clock.append(perf_counter())
    said = [pipe.recv_bytes() for pipe in pipes]
    clock.append(perf_counter())
    answers = [_read(each, job) for each in said]
    clock.append(perf_counter())
    scores, places, keys, values = (torch.cat(parts, 1) for parts in zip(*answers, strict=True))
    best, at = scores.topk(job.top_k)  # h k
    head = torch.arange(job.heads)[:, None]
    chosen = keys[head, at][None, :, None], values[head, at][None, :, None], places.gather(1, at)[None, :, None]
    clock.append(perf_counter())
    partial_neighbours(q.float(), fetched(*chosen, best[None, :, None]))
    clock.append(perf_counter())
    send, wait, read, merge, attend = (1e3 * (after - before) for before, after in pairwise(clock))
    search = max(float(np.frombuffer(each, count=1)[0]) for each in said)
    took = dict(zip(PARTS, (send, wait, search, read, merge, attend), strict=True))
    return took, chosen[2][0, :, 0].numpy()


def _read(said: bytes, job: Job) -> tuple[Tensor, ...]:
    n, buffer = job.heads * job.top_k, bytearray(said)
    shape, start = (job.heads, job.top_k), 8
    parts: list[Tensor] = []
    for dtype, each in ((torch.float32, 1), (torch.int64, 1), (torch.float32, job.dim), (torch.float32, job.dim)):
        part = torch.frombuffer(buffer, dtype=dtype, count=n * each, offset=start)
        parts.append(part.view(shape if each == 1 and len(parts) < 2 else (*shape, each)))
        start += part.nbytes
    return tuple(parts)


@torch.inference_mode()
def _copied(store: Store, q: Tensor, job: Job) -> float:
    """Milliseconds to pack an answer and to read as many as there are shards."""
    found = store.find(q.float(), job.top_k, torch.tensor([0]))
    assert found is not None
    begun = perf_counter()
    said = _packed(found, job, 0.0)
    for _ in range(SHARDS):
        _read(said, job)
    return 1e3 * (perf_counter() - begun)


@torch.inference_mode()
def _whole(store: Store, q: Tensor, job: Job) -> tuple[float, np.ndarray]:
    """The same in one process that holds all."""
    begun = perf_counter()
    found = store.find(q.float(), job.top_k, torch.tensor([0]))
    assert found is not None
    partial_neighbours(q.float(), found)
    return 1e3 * (perf_counter() - begun), found.places()[0, :, 0].numpy()


def _trip(pipe: Connection) -> float:
    begun = perf_counter()
    pipe.send_bytes(PING)
    pipe.recv_bytes()
    return 1e3 * (perf_counter() - begun)


def _median(took: list[float]) -> float:
    return sorted(took)[len(took) // 2]
