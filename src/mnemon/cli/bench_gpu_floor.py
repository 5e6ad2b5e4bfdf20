from dataclasses import dataclass
from typing import Any

from mnemon.cli import say
from mnemon.cli.bench_output import Output, give
from mnemon.config import Problem
from mnemon.studies.bench.gpu_floor import MEMORIES, Plan, bench_gpu_floor, gpu_floor_chart


@dataclass(frozen=True, kw_only=True)
class GpuFloor(Output):
    """What a training step takes at least on a GPU, by count of its work and a data sheet; nothing is run."""

    recipe: str = "memorizing-200m"
    """whose training step is reasoned on"""
    memories: str = ",".join(map(str, MEMORIES))
    """entries of the memory, with commas between"""
    lanes: int = 1
    """rows read side by side"""
    card: str = "h200"
    """h100 or h200"""
    share: float = 0.5
    """share of the floor that the step without memory is assumed to reach"""
    compile: bool = False
    """also compile the kernels for the card and say what registers they need (wants triton)"""


def run(command: GpuFloor, words: str) -> None:
    try:
        sizes = [int(part) for part in command.memories.split(",")]
    except ValueError:
        raise Problem(f"--memories {command.memories}: give whole numbers with commas between") from None
    plan = Plan(command.recipe, sizes, command.lanes, command.card, command.share)
    found = bench_gpu_floor(plan, command.compile)
    give(command, found, words, lambda: _text(found), lambda: gpu_floor_chart(found))


def _text(found: dict[str, Any]) -> str:
    card, names = found["card"], list(found["rows"][-1]["pieces"])
    about = (
        f"{found['recipe']} on {card['name']} ({card['source']}), a step of {found['tokens']:,} tokens, milliseconds: "
        "reasoned, not measured"
    )
    head = ("memory", *names, "floor", "times", f"at {found['share']:.0%}", "times", "MB a lane", "lanes that fit")
    rows = [
        (
            f"{row['memory']:,}",
            *(f"{1000 * row['pieces'].get(name, 0.0):.3f}" for name in names),
            f"{1000 * row['seconds']:.3f}",
            f"{row['ratio']:.2f}",
            f"{1000 * row['at_share']:.3f}",
            f"{row['ratio_at_share']:.2f}",
            f"{row['bytes_a_lane'] / 1e6:,.0f}",
            "" if row["lanes_that_fit"] is None else f"{row['lanes_that_fit']:,}",
        )
        for row in found["rows"]
    ]
    built = [
        (each["kernel"], *(f"{each[name]:,}" for name in ("registers", "spilled_bytes", "shared_bytes", "threads")))
        for each in found.get("kernels", [])
    ]
    lines = [about, say.table([head, *rows])]
    if built:
        lines += ["", say.table([("kernel", "registers", "bytes spilled", "bytes shared", "threads"), *built])]
    return "\n".join(lines)
