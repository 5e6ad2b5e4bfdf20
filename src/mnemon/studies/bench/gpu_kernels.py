"""Our kernels compiled for Hopper, which needs no GPU: what they occupy of a multiprocessor."""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mnemon.config import Problem
from mnemon.index import triton_search
from mnemon.ops import triton_neighbours

HOPPER = GPUTarget("cuda", 90, 32)
TYPES = {
    **dict.fromkeys(("q", "keys", "values", "o", "do", "dq"), "*bf16"),
    **dict.fromkeys(("bias", "dbias", "z", "a", "dz", "scores"), "*fp32"),
    **dict.fromkeys(("ids", "rows", "best"), "*i64"),
    "valid": "*i1",
    "softcap": "fp32",
}  # all else is a number


def compiled(top_k: int, head_dim: int) -> list[dict[str, Any]]:
    """By kernel: registers a thread, bytes a thread that found no register, bytes shared by a program, threads."""
    if triton.knobs.runtime.interpret:
        raise Problem("TRITON_INTERPRET is set, so that Triton interprets kernels and compiles none: unset it")
    kept, wide = (triton.next_power_of_2(n) for n in (top_k, head_dim))
    sizes = {"D": head_dim, "DP": wide}
    attend = {**sizes, "CAPPED": False, "K": top_k, "KP": kept}
    search = {**sizes, "H": 8, "TURNS": 32, "LANES": triton_search.LANES, "KP": kept}
    many, few = ({**search, "TILE": n, "WIDEN": False} for n in (triton_search.TILE, triton_search.FEW))
    return [
        _built("search, many queries", triton_search._scan, many, 8),
        _built("search, few queries", triton_search._scan, few, 4),
        _built("search, candidates", triton_search._settle, {**search, "K": top_k, "WIDE": 512}, 4),
        _built("neighbours, forward", triton_neighbours._forward, {**attend, "ZEROS": False, "bias": None}, 2),
        _built("neighbours, backward", triton_neighbours._backward, {**attend, "dbias": None}, 2),
    ]


def _built(name: str, kernel: Any, constants: dict[str, Any], warps: int) -> dict[str, Any]:
    names = [parameter.name for parameter in kernel.params]
    signature = {each: "constexpr" if each in constants else TYPES.get(each, "i32") for each in names}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    found = triton.compile(source, target=HOPPER, options={"num_warps": warps})
    said = _resources(found.asm["cubin"])
    return {
        "kernel": name,
        "registers": said["REG"],
        "spilled_bytes": said["STACK"] + said["LOCAL"],
        "shared_bytes": found.metadata.shared,
        "threads": 32 * warps,
    }


def _resources(binary: bytes) -> dict[str, int]:
    """What the compiled kernel asks for, as NVIDIA's tool beside Triton reads it."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(binary)
        said = subprocess.run([tool, "-res-usage", file], capture_output=True, text=True, check=True).stdout
    return {name: int(count) for name, count in re.findall(r"(REG|STACK|LOCAL):(\d+)", said)}
