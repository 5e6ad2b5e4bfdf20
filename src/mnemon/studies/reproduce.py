from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnemon.config import Problem, nearest, read_json, write_json, write_text
from mnemon.studies.demo import demo, steps_of
from mnemon.studies.pairing import pairing
from mnemon.studies.workers import Progress

Record = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A table of results: what it asks, and the study that answers with a record."""

    title: str
    asks: str
    run: Callable[[Path, int, Sequence[int], Progress], Record]


def _demo(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    results = read_json(demo(out, minutes, seeds, progress) / "results.json")
    models = {
        name: {key: model[key] for key in ("params", "tokens", "seeds", "bits_per_byte", "per_seed")}
        for name, model in results["models"].items()
    }
    kept = {key: results[key] for key in ("comparisons", "corpus", "environment", "seconds", "method")}
    return {"steps": steps_of(minutes), "models": models, **kept}


TABLES = {
    "demo": Table("The demonstration", "What does a kNN memory bring a small model on unseen Python packages?", _demo),
    "pairing": Table(
        "What the memory stores, and how its search starts",
        "What do the two deviations of memorizing-tiny bring: the next token's value, and equal projections at the "
        "start?",
        pairing,
    ),
}


def reproduce(
    name: str, out: Path, docs: Path, minutes: int = 15, seeds: Sequence[int] = (0,), progress: Progress | None = None
) -> Path:
    """Run one table and write its record and its page: `docs/records/NAME.json` and `docs/NAME.md`.

    Runs are kept in the folder `out`: what is there already is not trained again, what was interrupted continues.
    """
    if name not in TABLES:
        raise Problem(f"table {name!r}: no such table{nearest(name, list(TABLES))}")
    show = progress or (lambda phase, done, total, said: None)
    record = TABLES[name].run(out, minutes, seeds, show)
    listed = " ".join(map(str, seeds))
    command = f"mnemon reproduce {name} --minutes {minutes} --seeds {listed}"
    write_json(docs / "records" / f"{name}.json", {"format": 1, "table": name, "command": command, **record})
    return write_result_page(docs, name)


def write_result_page(docs: Path, name: str) -> Path:
    """The page of a table, made from its record."""
    path = docs / f"{name}.md"
    write_text(path, page(read_json(docs / "records" / f"{name}.json")))
    return path


def page(record: Record) -> str:
    """A record as Markdown: figures by model and memory size, each seed, claims with intervals, and how it was made."""
    table = TABLES[record["table"]]
    models = record["models"]
    sizes = sorted({int(size) for model in models.values() for size in model["bits_per_byte"]})
    lines = [
        f"# {table.title}",
        "",
        table.asks,
        "",
        "Bits per byte on unseen documents, by memory size (lower is better).",
    ]
    lines += ["", _row(["model", "seed", *map(str, sizes)]), _row(["---"] * (2 + len(sizes)))]
    for name, model in models.items():
        if len(model["seeds"]) > 1:
            lines.append(_row([name, "mean", *_figures(model["bits_per_byte"], sizes)]))
        for each in model["per_seed"]:
            lines.append(_row([name, str(each["seed"]), *_figures(each["bits_per_byte"], sizes)]))
    lines += ["", "Claims, with the difference in bits per byte and its 95 % interval over documents:", ""]
    lines += [_row(["claim", "difference", "interval", "holds"]), _row(["---"] * 4)]
    for claim in record["comparisons"]:
        low, high = claim["interval"]
        said = [claim["text"], f"{claim['bits_per_byte']:+.4f}", f"{low:+.4f} to {high:+.4f}", claim["holds"]]
        lines.append(_row([*said[:3], "yes" if said[3] else "no"]))
    parameters = ", ".join(f"{name} {model['params']:,}" for name, model in models.items())
    tokens = ", ".join(sorted({f"{model['tokens']:,}" for model in models.values()}))
    environment = record["environment"]
    lines += ["", "How it was made:", "", *(f"- {line}" for line in record["method"])]
    lines += [f"- Parameters: {parameters}. Training tokens: {tokens}."]
    lines += [f"- Corpus `{record['corpus']['name']}`, fingerprint `{record['corpus']['fingerprint']}`."]
    lines += [f"- {environment['processor']}, torch {environment['torch']}, {environment['date']}."]
    lines += [
        f"- Command: `{record['command']}`. This page is written by it from `records/{record['table']}.json`.",
        "",
    ]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _figures(values: dict[str, float], sizes: Sequence[int]) -> list[str]:
    return [f"{values[str(size)]:.4f}" if str(size) in values else "" for size in sizes]
