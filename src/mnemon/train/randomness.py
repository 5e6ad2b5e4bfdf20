import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


@contextlib.contextmanager
def seeded(seed: int, device: torch.device, threads: int | None = None, rank: int = 0) -> Iterator[None]:
    """Random numbers from `seed`, others on each rank, and so many threads, inside; as they were before, afterwards."""
    before, held = random.getstate(), torch.get_num_threads()
    with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
        torch.manual_seed(seed)
        part_ways(seed, rank)
        random.seed(seed)
        torch.set_num_threads(threads or held)
        try:
            yield
        finally:
            random.setstate(before)
            torch.set_num_threads(held)


def part_ways(seed: int, rank: int) -> None:
    """From here on every rank but the first draws numbers of its own; what was drawn before is the same on all."""
    if rank:
        torch.manual_seed(seed + rank * 1_000_003)


def random_state(device: torch.device) -> tuple[dict[str, Tensor], list[Any]]:
    """State of torch's random numbers, as tensors, and of Python's, as JSON."""
    tensors = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    version, numbers, gauss = random.getstate()
    return tensors, [version, list(numbers), gauss]


def set_random_state(tensors: Mapping[str, Tensor], python: list[Any], device: torch.device) -> None:
    """Continue with the random numbers that would have followed."""
    torch.set_rng_state(tensors["cpu"])
    if device.type == "cuda" and "cuda" in tensors:
        torch.cuda.set_rng_state(tensors["cuda"], device)
    version, numbers, gauss = python
    random.setstate((version, tuple(numbers), gauss))
