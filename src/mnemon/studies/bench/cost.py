"""Whether costs grow as docs/cost.md tells: steps of many sizes, measured, and the told terms fitted to them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path

import torch

from mnemon.config import Problem
from mnemon.model import MemoryState
from mnemon.report import Chart
from mnemon.studies.bench.cost_terms import BASE, TERMS, Size, operations, remembered_bytes
from mnemon.studies.bench.counts import counting
from mnemon.studies.bench.fit import non_negative
from mnemon.studies.bench.standing import full_state, step, tokens
from mnemon.studies.bench.turns import one_thread, spread, take_turns
from mnemon.studies.machine import machine
from mnemon.studies.pages import Record, row
from mnemon.studies.workers import Progress

LARGEST = 1_048_576
# One size after another is varied, the others stay as `Size` has them.
VARIED: dict[str, tuple[int, ...]] = {
    "window": (128, 512, 2048, 8192),
    "persistent": (128, 512, 2048, 8192),
    "memory": (0, 8192, 65_536, 262_144, 1_048_576),
    "top_k": (8, 32, 128, 512),
    "layers": (2, 4, 8),
    "rows": (1, 2, 4, 8),
}
# Several at once; the terms are not fitted to these.
CHECKS = (
    Size(window=1024, persistent=2048, memory=65_536, top_k=64, layers=4, rows=2),
    Size(window=256, persistent=1024, memory=262_144, top_k=16, layers=6),
    Size(window=512, persistent=256, memory=16_384, top_k=128, layers=3, rows=4),
)


def grid(largest: int = LARGEST) -> list[Size]:
    """The sizes that the terms are fitted to, with memories of at most `largest` entries."""
    varied = [replace(Size(), **{name: value}) for name, values in VARIED.items() for value in values]
    return list(dict.fromkeys(size for size in varied if size.memory <= largest))


def bench_cost(
    sizes: Sequence[Size] | None = None,
    checks: Sequence[Size] = CHECKS,
    steps: int = 8,
    rounds: int = 5,
    progress: Progress = lambda *_: None,
) -> Record:
    """Seconds of one-token steps at many sizes, the told terms fitted to them, and how far any of them is off.

    Operations and bytes are counted and compared with what is told; `checks` have no part in the fit. On one thread.
    """
    sizes = grid() if sizes is None else sizes
    if len(sizes) < 2 or min(steps, rounds) < 1:
        raise Problem(f"{len(sizes)} sizes, {rounds} rounds of {steps} steps: at least 2 sizes and one of the others")
    with one_thread(), torch.no_grad():
        points = [Point(size) for size in (*sizes, *checks)]
        acts = {str(place): partial(point.write, steps) for place, point in enumerate(points)}
        took = take_turns(acts, rounds, progress)
    measured = [spread([value / steps for value in each]) for each in took.values()]
    amounts = [[term(point.size) for term in TERMS.values()] for point in points]
    n = len(sizes)
    fitted = non_negative(amounts[:n], [each["median"] for each in measured[:n]])
    rows = [
        {
            "size": asdict(point.size),
            "seconds": each,
            "predicted": sum(c * a for c, a in zip(fitted, amount, strict=True)),
            "operations": point.operations,
            "bytes": point.bytes,
            "as_told": point.as_told,
        }
        for point, each, amount in zip(points, measured, amounts, strict=True)
    ]
    off = [abs(row["predicted"] / row["seconds"]["median"] - 1) for row in rows]
    return {
        "format": 1,
        "benchmark": "cost",
        "recipe": BASE,
        "steps": steps,
        "rounds": rounds,
        "coefficients": dict(zip(TERMS, fitted, strict=True)),
        "largest_deviation": {"fitted": max(off[:n]), "checks": max(off[n:], default=None)},
        "rows": rows,
        "checks": len(checks),
        "environment": machine(),
    }


class Point:
    """A model of one size behind a full window with a full memory; what it counts is counted at its first step."""

    def __init__(self, size: Size):
        self.size, self.model = size, size.model().build().eval()
        self.state = full_state(self.model, size.memory, rows=size.rows)
        self.draw = torch.Generator().manual_seed(0)
        with counting() as counted:
            self.write(1)
        self.operations, self.bytes = counted.get_total_flops(), held_bytes(self.state)
        told = sum(operations(size).values()), sum(remembered_bytes(size).values())
        self.as_told = told == (self.operations, self.bytes)

    def write(self, steps: int) -> None:
        """So many tokens, one after another."""
        for _ in range(steps):
            step(self.model, self.state, tokens(self.model, self.draw, self.size.rows, self.size.tokens))


def held_bytes(state: MemoryState) -> int:
    """Bytes that are allocated for what a state remembers, without its counters: each storage once."""
    return sum(dict(_storages(state)).values())


def _storages(state: MemoryState) -> Iterator[tuple[int, int]]:
    for layer in state.states:
        for pool in layer.values():
            held = [getattr(pool, field.name) for field in fields(pool)]
            stored = [] if getattr(pool, "store", None) is None else list(pool.store.tensors().values())  # type: ignore[attr-defined]
            for tensor in [*held, *stored]:
                if isinstance(tensor, torch.Tensor) and tensor.ndim > 1:
                    yield tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()


def cost_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    """`bench_cost` as a table of `reproduce`: nothing is trained, so folder, time and seeds make no difference."""
    return bench_cost(progress=progress)


def cost_lines(record: Record) -> list[str]:
    """The fitted coefficients, and each size with its measured and its predicted time."""
    lines = [row(["each of these", "takes"]), row(["---"] * 2)]
    lines += [row([name, f"{1e6 * value:,.2f} µs"]) for name, value in record["coefficients"].items()]
    names = list(record["rows"][0]["size"])
    lines += [
        "",
        row([*names, "ms measured", "ms told", "off", "operations, bytes as told"]),
        row(["---"] * (len(names) + 4)),
    ]
    for place, of in enumerate(record["rows"]):
        check = "" if place < len(record["rows"]) - record["checks"] else " (check)"
        seconds = of["seconds"]["median"]
        cells = [f"{of['size'][name]:,}" for name in names] + [f"{1000 * seconds:.2f}", f"{1000 * of['predicted']:.2f}"]
        lines.append(row([*cells, f"{100 * (of['predicted'] / seconds - 1):+.0f} %{check}", _yes(of["as_told"])]))
    off = record["largest_deviation"]
    lines += [
        "",
        "How it was made:",
        "",
        f"- `{record['recipe']}` at these sizes, one token a step, one thread, float32.",
    ]
    checked = "" if off["checks"] is None else f"; of the checks, which have no part in the fit, {off['checks']:.0%}"
    lines += [f"- Largest deviation of the sizes that the terms were fitted to: {off['fitted']:.0%}{checked}."]
    turns = f"{record['rounds']} rounds of {record['steps']} steps, taken in turns"
    return [*lines, f"- Processor time, medians of {turns}; coefficients by non-negative least squares."]


def _yes(as_told: bool) -> str:
    return "yes" if as_told else "no"


def cost_chart(found: Record) -> Chart:
    """Milliseconds of a step by entries, measured and as the terms tell."""
    of = [each for each in found["rows"] if Size(**each["size"]) == replace(Size(), memory=each["size"]["memory"])]
    of = [each for each in of if each["size"]["memory"]]
    told = {each["size"]["memory"]: dict.fromkeys(("median", "low", "high"), 1000 * each["predicted"]) for each in of}
    took = {each["size"]["memory"]: {key: 1000 * value for key, value in each["seconds"].items()} for each in of}
    return Chart.by_size("One token against the memory", "milliseconds", "entries", {"measured": took, "told": told})
