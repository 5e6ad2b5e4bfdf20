import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.config import Problem
from mnemon.index.bounds import centre
from mnemon.index.certified import CANDIDATES

SOURCE = Path(__file__).with_name("kernel.cpp")  # and beside it, by concept, kernel_*.h
FLAGS = ("-O3", "-march=native", "-mprefer-vector-width=512", "-fopenmp-simd", "-std=c++17", "-shared", "-fPIC")
GENERIC = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC")  # for CPUs that the above are not for
PLAIN = (*FLAGS, "-DMNEMON_GENERIC")  # without what only some CPUs have, for tests of what the others run
COMPILERS = ("g++", "c++", "clang++")


class _Task(ctypes.Structure):
    """`Problem` of kernel.cpp."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("q", "keys", "seen", "valid", "centre", "scores", "ids", "certified")),
        *((name, ctypes.c_int64) for name in ("n", "t", "m", "d", "k", "limit")),
        *((name, ctypes.c_int64) for name in ("q_head", "q_row", "keys_head", "seen_head", "valid_head", "valid_row")),
        *((name, ctypes.c_int32) for name in ("q_narrow", "keys_narrow", "threads")),
    )


def library(folder: Path | None = None) -> Path:
    """Where the kernel of this source for this CPU is kept: `mnemon/kernels` in the user's cache folder (XDG)."""
    if folder is None:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnemon" / "kernels"
    source = b"".join(part.read_bytes() for part in (SOURCE, *sorted(SOURCE.parent.glob("kernel_*.h"))))
    digest = hashlib.sha256(source + _cpu().encode() + repr(FLAGS).encode()).hexdigest()
    return folder / f"search-{digest[:16]}.so"


def _cpu() -> str:
    """What the instructions that a compiler uses for this CPU depend on."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else [platform.processor()]
    said = {line for line in lines if line.startswith(("model name", "flags", "Features")) or not listed.exists()}
    return "\n".join([platform.machine(), *sorted(said)])


def build(folder: Path | None = None) -> Path:
    """Compile the kernel for this CPU; from then on searches use it. A `Problem` where it cannot be compiled."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise Problem(f"no C++ compiler: none of {', '.join(COMPILERS)} is installed; searches work without the kernel")
    target = library(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(f".{os.getpid()}")
    for flags in (FLAGS, GENERIC):
        words = [compiler, *flags, "-pthread", "-w", "-o", str(fresh), str(SOURCE)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            fresh.replace(target)  # never half a library
            built.cache_clear()
            return target
    first = next((line for line in done.stderr.splitlines() if "error" in line), "no error was told")
    raise Problem(f"{compiler} cannot compile the kernel: {first}")


def remove(folder: Path | None = None) -> bool:
    """Delete the kernel of this source and CPU; whether there was one. A process that has begun keeps it."""
    target = library(folder)
    there = target.exists()
    target.unlink(missing_ok=True)
    built.cache_clear()
    return there


@functools.cache
def built(folder: Path | None = None) -> ctypes.CDLL | None:
    """The kernel, if `build` has made it for this source and this CPU."""
    target = library(folder)
    return ctypes.CDLL(str(target)) if target.exists() else None


def kernel_search(
    q: Float[Tensor, "n t d"], keys: Float[Tensor, "n m d"], k: int, valid: Bool[Tensor, "n _ m"] | None
) -> tuple[Float[Tensor, "n t k"], Int[Tensor, "n t k"], Bool[Tensor, "n t"]]:
    """`certified_search` by the built kernel, on as many threads as PyTorch uses.

    Scores are never written: products of 64 keys and 6 queries stay in registers, and only what reaches the bound of
    a query is noted down. As sums stay in float32, a bound leaves less to be scored again. Where the CPU does not
    multiply bfloat16 numbers, nothing is rounded.
    """
    kernel = built()
    assert kernel is not None
    (n, t, d), m = q.shape, keys.shape[1]
    q, keys = (x if x.stride()[1:] == (d, 1) else x.contiguous() for x in (q, keys))
    seen = None if valid is None else valid.any(1)
    each = None if valid is None or valid.shape[1] == 1 else valid.contiguous()
    moved = None if keys.dtype == q.dtype == torch.bfloat16 else centre(keys, valid)
    scores, ids = torch.empty(n, t, k), torch.empty(n, t, k, dtype=torch.long)
    certified = torch.empty(n, t, dtype=torch.bool)
    tensors = [q, keys, seen, each, moved, scores, ids, certified]
    strides = [q.stride(0), d, keys.stride(0), m, t * m, m]
    narrow = [x.dtype == torch.bfloat16 for x in (q, keys)]
    pointers = [None if x is None else x.data_ptr() for x in tensors]
    sizes = [n, t, m, d, k, CANDIDATES * k]
    kernel.mnemon_search(ctypes.byref(_Task(*pointers, *sizes, *strides, *narrow, torch.get_num_threads())))
    return scores, ids, certified
