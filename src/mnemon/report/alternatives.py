from collections.abc import Callable

from mnemon.report.curves import position_curves
from mnemon.report.results import Results
from mnemon.report.wording import count, decimal, memory


def _memory(results: Results) -> str:
    parts = [
        f"{name}: " + ", ".join(f"{decimal(model.loss(size))} at {memory(size)}" for size in model.memories)
        for name, model in results.ordered.items()
    ]
    return f"Bits per byte against memory size. {'; '.join(parts)}."


def _position(results: Results) -> str:
    parts = []
    for curve in position_curves(results):
        ranges = [f"{decimal(each.bits_per_byte)} from token {count(each.start)}" for each in curve.bins]
        parts.append(f"{curve.label.replace(chr(10), ', ')}: {', '.join(ranges)}")
    return f"Bits per byte by position in the document. {'; '.join(parts)}." if parts else ""


def _gates(results: Results) -> str:
    parts = [
        f"{name}, layer {layer}: {', '.join(decimal(gate, 2) for gate in heads)}"
        for name, model in results.ordered.items()
        for layer, heads in model.gates.items()
    ]
    return f"Gate of each head, from 0, context only, to 1, memory only. {'; '.join(parts)}." if parts else ""


def _training(results: Results) -> str:
    parts = [
        f"{name}: from {decimal(model.training[0].loss)} to {decimal(model.training[-1].loss)}"
        f" in {count(model.training[-1].step)} steps"
        for name, model in results.ordered.items()
        if model.training
    ]
    return f"Training loss in nats per token. {'; '.join(parts)}." if parts else ""


# What a figure shows, in words, for readers who cannot see it; empty where the results have no data for it.
ALTERNATIVES: dict[str, Callable[[Results], str]] = {
    "memory": _memory,
    "position": _position,
    "gates": _gates,
    "training": _training,
}
