from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnemon.cli import say
from mnemon.cli.flags import parse
from mnemon.cli.progress import Phases
from mnemon.config import read_json
from mnemon.studies import demo


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Train a small model without and one with memory on Python code, and show on one page what memory brings."""

    minutes: int = 15
    """time on two cores; picks the number of steps from a table, so that a rerun gives the same figures"""
    out: Path = Path("runs/demo")
    """folder of the results; where it is taken, a new one beside it"""
    seeds: tuple[int, ...] = (0,)
    """train both models once a seed"""
    data: str = "python-env"
    """python-env, or a folder, glob, JSON Lines file or byte stream"""
    json: bool = False
    """print one JSON value at the end"""


def run(words: list[str]) -> None:
    command = parse(Demo, words, "mnemon demo")
    with Phases() as show:
        folder = demo(command.out, command.minutes, command.seeds, show, command.data)
    results = read_json(folder / "results.json")
    models = {name: model["bits_per_byte"] for name, model in results["models"].items()}
    value = {
        "page": str(folder / "report.html"),
        "results": str(folder / "results.json"),
        "bits_per_byte": models,
        "comparisons": results["comparisons"],
    }
    say.result(value, command.json, lambda: _text(value))


def _text(value: dict[str, Any]) -> str:
    sizes = list(dict.fromkeys(size for found in value["bits_per_byte"].values() for size in found))
    rows = [
        (name, *(f"{found[size]:.4f}" if size in found else "" for size in sizes))
        for name, found in value["bits_per_byte"].items()
    ]
    claims = [
        f"{'yes' if each['holds'] else 'no':<4}{each['bits_per_byte']:+.4f} "
        f"[{each['interval'][0]:+.4f}, {each['interval'][1]:+.4f}]  {each['name']}"
        for each in value["comparisons"]
    ]
    return "\n".join(
        [
            "bits/byte on unseen documents, by memory size",
            say.table([("", *sizes), *rows]),
            "",
            "lower loss? difference in bits/byte [95 % interval over documents]",
            *claims,
            "",
            f"page: {value['page']}",
        ]
    )
