from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A table of results: what it asks, the study that answers with a record, and what its page shows of that."""

    title: str
    asks: str
    run: Callable[..., Record]  # folder, minutes, seeds, progress, and the server if it has a part
    lines: Callable[[Record], list[str]]
    cells: bool = False  # whether its runs are those of the tables whose rows are models
    server: bool = False  # whether a Milvus server has a part in it: its address is `milvus`


def loss_lines(record: Record) -> list[str]:
    """Figures by model and memory size, each seed, and the claims with their intervals."""
    models = record["models"]
    sizes = sorted({int(size) for model in models.values() for size in model["bits_per_byte"]})
    lines = ["Bits per byte on unseen documents, by memory size (lower is better).", ""]
    lines += [row(["model", "seed", *map(str, sizes)]), row(["---"] * (2 + len(sizes)))]
    for name, model in models.items():
        if len(model["seeds"]) > 1:
            lines.append(row([name, "mean", *_figures(model["bits_per_byte"], sizes)]))
        for each in model["per_seed"]:
            lines.append(row([name, str(each["seed"]), *_figures(each["bits_per_byte"], sizes)]))
    lines += ["", "Claims, with the difference in bits per byte and its 95 % interval over documents:", ""]
    lines += [row(["claim", "difference", "interval", "holds"]), row(["---"] * 4)]
    for claim in record["comparisons"]:
        low, high = claim["interval"]
        said = [claim["text"], f"{claim['bits_per_byte']:+.4f}", f"{low:+.4f} to {high:+.4f}"]
        lines.append(row([*said, "yes" if claim["holds"] else "no"]))
    parameters = ", ".join(f"{name} {model['params']:,}" for name, model in models.items())
    tokens = ", ".join(sorted({f"{model['tokens']:,}" for model in models.values()}))
    lines += ["", "How it was made:", "", *(f"- {line}" for line in record["method"])]
    lines += [f"- Parameters: {parameters}. Training tokens: {tokens}."]
    return [*lines, f"- Corpus `{record['corpus']['name']}`, fingerprint `{record['corpus']['fingerprint']}`."]


def row(cells: Sequence[str]) -> str:
    """One line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def _figures(values: dict[str, float], sizes: Sequence[int]) -> list[str]:
    return [f"{values[str(size)]:.4f}" if str(size) in values else "" for size in sizes]
