"""Room for a memory that grows, or a `Problem` with what it would need before anything of it is given up."""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from mnemon.config import Problem

SYSTEM = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")  # of the container, where there is one


def rooms(like: Tensor, *shapes: Sequence[int]) -> list[Tensor]:
    """Tensors of these shapes, of the type and device of `like`, whose content is not set: all, or none."""
    needed = sum(map(math.prod, shapes)) * like.element_size()
    free = free_bytes() if like.device.type == "cpu" else None
    if free is not None and needed > free:
        raise _too_large(needed, f"{free:,} are free")
    try:
        return [like.new_empty(*shape) for shape in shapes]
    except RuntimeError as error:  # of the allocator; torch.OutOfMemoryError is one too
        raise _too_large(needed, str(error).splitlines()[0]) from None


def free_bytes() -> int | None:
    """Memory that a process can still have without being killed for it; None where the system does not tell."""
    try:
        told = dict(line.split(":", 1) for line in SYSTEM.read_text().splitlines())
        free = [1024 * int(told["MemAvailable"].split()[0])]
    except (OSError, KeyError):
        return None
    with suppress(OSError, KeyError):  # no group, or one of the older kind
        limit, used = ((GROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        reclaimed = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
        free += [] if limit == "max" else [int(limit) - int(used) + int(reclaimed["inactive_file"])]
    return max(min(free), 0)


def _too_large(needed: int, why: str) -> Problem:
    return Problem(
        f"the memory cannot grow: {needed:,} bytes are needed ({why}); what is remembered is kept: give it a smaller "
        "size, or a machine with more memory"
    )
