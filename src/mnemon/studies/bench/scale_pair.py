"""Two processes that each search half of the entries, their best merged by a third: what the formula of shards says."""

from collections.abc import Callable
from contextlib import suppress
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
from mnemon.ops import partial_neighbours
from mnemon.studies.bench.scale_model import Fit
from mnemon.studies.bench.store_alone import Job, queries, written

PING = b"?"
SHARDS = 2
Start = Callable[[Callable[[Connection, Job, int], None], tuple[Connection, Job, int]], Any]


def start_process(work: Callable[[Connection, Job, int], None], given: tuple[Connection, Job, int]) -> Any:
    """A process that has nothing of this one."""
    process = get_context("spawn").Process(target=work, args=given, daemon=True)
    process.start()
    given[0].close()  # the process has its own: should it end, that is seen here
    return process


def check_pair(job: Job, search: Fit, merge: Fit, start: Start = start_process) -> dict[str, Any]:
    """Milliseconds of a token whose entries two processes hold, beside the formula and one process that holds all.

    The round trip of the formula is measured with messages as long as question and answer, which are not searched for.
    `same`: the share of the best of all entries that the two found.
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
        trip = _median([_trip(pipes[0]) for _ in range(50)])
        rounds = [(_pair(pipes, q, job), _whole(whole, q, job)) for q in asked]
    except (EOFError, ConnectionError):
        raise Problem("a process that held half of the entries ended: is there memory for all of them twice?") from None
    finally:
        for pipe in pipes:
            pipe.close()
        for worker in workers:
            worker.join()
    same = [float(np.isin(pair[1], one[1]).mean()) for pair, one in rounds]
    return {
        "entries": job.size,
        "told_ms": search.at(job.size / SHARDS) + trip + merge.at(SHARDS),
        "measured_ms": _median([pair[0] for pair, _ in rounds]),
        "one_process_ms": _median([one[0] for _, one in rounds]),
        "round_trip_ms": trip,
        "same": sum(same) / len(same),
    }


def serve(pipe: Connection, job: Job, shard: int) -> None:
    """Hold each second segment, and answer queries with the best of them: scores, places, keys and values."""
    torch.set_num_threads(1)
    store = _filled(job, range(shard, SHARDS, SHARDS))
    blank = bytes(job.heads * job.top_k * (12 + 8 * job.dim))
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
    q = torch.frombuffer(bytearray(said), dtype=torch.float32).view(1, job.heads, 1, job.dim)
    found = store.find(q, job.top_k, torch.tensor([0]))
    assert found is not None
    head, ids = torch.arange(job.heads)[:, None], found.ids[0, :, 0]
    parts = found.scores[0, :, 0], found.places()[0, :, 0], found.keys[0][head, ids], found.values[0][head, ids]
    return b"".join(part.contiguous().numpy().tobytes() for part in parts)


@torch.inference_mode()
def _pair(pipes: list[Connection], q: Tensor, job: Job) -> tuple[float, np.ndarray]:
    """Milliseconds until a query is attended to, and the places that were found."""
    begun = perf_counter()
    for pipe in pipes:
        pipe.send_bytes(q.float().numpy().tobytes())
    answers = [_read(pipe.recv_bytes(), job) for pipe in pipes]
    scores, places, keys, values = (torch.cat(parts, 1) for parts in zip(*answers, strict=True))
    best, at = scores.topk(job.top_k)  # h k
    head = torch.arange(job.heads)[:, None]
    chosen = keys[head, at][None, :, None], values[head, at][None, :, None], places.gather(1, at)[None, :, None]
    partial_neighbours(q.float(), fetched(*chosen, best[None, :, None]))
    return 1e3 * (perf_counter() - begun), chosen[2][0, :, 0].numpy()


def _read(said: bytes, job: Job) -> tuple[Tensor, ...]:
    n, buffer = job.heads * job.top_k, bytearray(said)
    shape, start = (job.heads, job.top_k), 0
    parts: list[Tensor] = []
    for dtype, each in ((torch.float32, 1), (torch.int64, 1), (torch.float32, job.dim), (torch.float32, job.dim)):
        part = torch.frombuffer(buffer, dtype=dtype, count=n * each, offset=start)
        parts.append(part.view(shape if each == 1 and len(parts) < 2 else (*shape, each)))
        start += part.nbytes
    return tuple(parts)


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
