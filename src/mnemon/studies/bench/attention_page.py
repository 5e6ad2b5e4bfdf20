from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnemon.studies.bench.attention import Plan, bench_attention
from mnemon.studies.pages import Record, row
from mnemon.studies.workers import Progress

PEERS = Path(".venv-peers/bin/python")  # made by make bench-peers
LARGE, SMALL = Plan(peer_python=PEERS), Plan(dim=256, heads=4, vectors=1024, lanes=4, peer_python=PEERS)
COLUMNS = ("median", "low", "high")


def attention_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    """Both sizes, one after the other."""
    sizes = [bench_attention(plan, progress) for plan in (LARGE, SMALL)]
    return {"environment": sizes[0]["environment"], "sizes": sizes}


def attention_lines(record: Record) -> list[str]:
    """Of each size: milliseconds, ratios, and how much of the rate of products a step comes to."""
    lines: list[str] = []
    for found in record["sizes"]:
        lines += [f"## Width {found['dim']}, {found['vectors']:,} vectors a head", "", about(found), ""]
        lines += [row(["milliseconds", "", *COLUMNS]), row(["---"] * 5)]
        for what, of in found["seconds"].items():
            lines += [row([what, name, *(f"{1000 * each[key]:.1f}" for key in COLUMNS)]) for name, each in of.items()]
        lines += ["", row(["times as long", "", *COLUMNS]), row(["---"] * 5)]
        for what, of in found["ratios"].items():
            lines += [row([what, pair, *(f"{each[key]:.2f}" for key in COLUMNS)]) for pair, each in of.items()]
        lines += ["", *shares(found), ""]
    return [*lines, "Processor time, forward and backward, on one thread; the contenders take turns."]


def about(found: dict[str, Any]) -> str:
    """What was measured, in a sentence."""
    return (
        f"{found['layers']} layers, {found['heads']} heads, {found['lanes']} rows of {found['segment']} tokens, window "
        f"{found['window']}, {found['precision']}, no span, no dropout; {found['rounds']} rounds."
    )


def shares(found: dict[str, Any]) -> list[str]:
    """How much of the rate of products each step comes to, and what is missing."""
    rate = f"{found['product_rate'] / 1e9:.0f} GFLOP/s"
    told = [
        f"{name}: {found['parameters'][name]:,} parameters; the products of a step, {found['flops'][name] / 1e9:.1f} "
        f"GFLOP, at the rate of a feed-forward layer's ({rate}) are {share:.0%} of its time."
        for name, share in found["products"].items()
    ]
    missing = found["peer"].get("missing")
    return [f"- {each}" for each in [*told, *([f"x-transformers: {missing}"] if missing else [])]]
