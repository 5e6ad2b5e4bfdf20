from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnemon.config import Problem, nearest, read_json, write_json, write_text
from mnemon.studies.bench import bench_train
from mnemon.studies.demo import demo, steps_of
from mnemon.studies.pages import Record, loss_lines, speed_lines
from mnemon.studies.pairing import pairing
from mnemon.studies.span import span_lines, span_table
from mnemon.studies.workers import Progress

PEERS = Path(".venv-peers/bin/python")  # made by make bench-peers


@dataclass(frozen=True)
class Table:
    """A table of results: what it asks, the study that answers with a record, and what its page shows of that."""

    title: str
    asks: str
    run: Callable[[Path, int, Sequence[int], Progress], Record]
    lines: Callable[[Record], list[str]]


def _demo(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    results = read_json(demo(out, minutes, seeds, progress) / "results.json")
    models = {
        name: {key: model[key] for key in ("params", "tokens", "seeds", "bits_per_byte", "per_seed")}
        for name, model in results["models"].items()
    }
    kept = {key: results[key] for key in ("comparisons", "corpus", "environment", "seconds", "method")}
    return {"steps": steps_of(minutes), "models": models, **kept}


def _speed(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    return bench_train(peer_python=PEERS, progress=progress)


TABLES = {
    "demo": Table(
        "The demonstration",
        "What does a kNN memory bring a small model on unseen Python packages?",
        _demo,
        loss_lines,
    ),
    "pairing": Table(
        "What the memory stores, and how its search starts",
        "What do the two deviations of memorizing-tiny bring: the next token's value, and equal projections at the "
        "start?",
        pairing,
        loss_lines,
    ),
    "train-speed": Table(
        "Training speed",
        "What does a memory cost in training, and how does that compare with another implementation at the same shape?",
        _speed,
        speed_lines,
    ),
    "span": Table(
        "What a shorter attention span saves",
        "Do operations, memory and time of a layer with adaptive spans fall with its spans?",
        span_table,
        span_lines,
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
    """A record as Markdown: what was asked, what came out, how and on what it was made."""
    table = TABLES[record["table"]]
    environment = record["environment"]
    lines = [f"# {table.title}", "", table.asks, "", *table.lines(record)]
    lines += [f"- {environment['processor']}, torch {environment['torch']}, {environment['date']}."]
    command = f"- Command: `{record['command']}`. This page is written by it from `records/{record['table']}.json`."
    return "\n".join([*lines, command, ""])
