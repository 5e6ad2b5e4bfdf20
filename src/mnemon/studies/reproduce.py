import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from mnemon.config import Problem, nearest, read_json, write_json, write_text
from mnemon.studies import tables_a, tables_b, tables_tuning
from mnemon.studies.attach_tuning_page import attach_tuning_lines
from mnemon.studies.bench.tables import BENCH_TABLES
from mnemon.studies.demo import demo, steps_of
from mnemon.studies.grid import Scale, run_grid, wanted
from mnemon.studies.grid_page import grid_page
from mnemon.studies.pages import Record, Table, loss_lines
from mnemon.studies.recall_tasks import recall_tasks_lines, recall_tasks_table
from mnemon.studies.retrieval import retrieval_lines, retrieval_table
from mnemon.studies.staleness import staleness_lines, staleness_table
from mnemon.studies.workers import Progress


def _demo(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    results = read_json(demo(out, minutes, seeds, progress) / "results.json")
    models = {
        name: {key: model[key] for key in ("params", "tokens", "seeds", "bits_per_byte", "per_seed")}
        for name, model in results["models"].items()
    }
    kept = {key: results[key] for key in ("comparisons", "corpus", "environment", "seconds", "method")}
    return {"steps": steps_of(minutes), "models": models, **kept}


def _tuned(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    study = importlib.import_module("mnemon.studies.attach_tuning")  # needs transformers
    found: Record = study.attach_table(out, minutes, seeds, progress)
    return found


GRIDS = {
    "A-bpc": tables_a.A_BPC,
    "A-N": tables_a.A_N,
    "A-forms": tables_a.A_FORMS,
    "A-words": tables_a.A_WORDS,
    "B-main": tables_b.B_MAIN,
    "B-layer": tables_b.B_LAYER,
    "B-topk": tables_b.B_TOPK,
    "B-finetune-larger": tables_tuning.B_FINETUNE,
    "B-pretrained": tables_tuning.B_PRETRAINED,
    "B-scaling": tables_b.B_SCALING,
    "B-gain": tables_b.B_GAIN,
    "pairing": tables_tuning.PAIRING,
}
TABLES = {
    **BENCH_TABLES,
    "demo": Table(
        "The demonstration",
        "What does a kNN memory bring a small model on unseen Python packages?",
        _demo,
        loss_lines,
    ),
    "B-retrieval": Table(
        "What the memory retrieves",
        "When a name returns from beyond the window, does the memory look at where it stood before?",
        retrieval_table,
        retrieval_lines,
        cells=True,
    ),
    "recall-tasks": Table(
        "Recall beyond the window",
        "Does a model recall what it read 16 windows ago: the latest value, its own alone, and with its source?",
        recall_tasks_table,
        recall_tasks_lines,
    ),
    "staleness": Table(
        "Staleness of the memory",
        "How far do stored keys drift from what the weights would make of them now, and does encoding them anew help?",
        staleness_table,
        staleness_lines,
    ),
    "attach": Table(
        "What an attached memory brings",
        "Does a memory lower the loss of a model that was trained without one, on unseen documents longer than its "
        "window: as it is, and after a short fine-tuning?",
        _tuned,
        attach_tuning_lines,
    ),
}


@dataclass(frozen=True)
class Asked:
    """How a table is to be run. `budget`: minutes; `seeds`: how many, for the rows that carry a claim.

    `milvus`: the server that tables with one ask; where none answers, their pages say so. `data`: corpora by name, as
    `load_corpus` takes them. `scale`: `paper` takes the paper's sizes, `tiny` those that two cores train; `auto`
    decides by whether there is a GPU. `steps`: of every row, instead of the table's.
    """

    budget: int = 15
    seeds: int = 1
    data: Mapping[str, str] = field(default_factory=lambda: {"python-env": "python-env"})
    scale: Literal["auto", "tiny", "paper"] = "auto"
    steps: int | None = None
    workers: int | None = None
    milvus: str = "http://127.0.0.1:19530"  # where deploy/compose.yaml starts one

    def chosen(self) -> Scale:
        """The scale, decided."""
        return ("paper" if torch.cuda.is_available() else "tiny") if self.scale == "auto" else self.scale


def reproduce(name: str, out: Path, docs: Path, asked: Asked | None = None, progress: Progress | None = None) -> Path:
    """Run one table and write its records and its page: `docs/records/...` and `docs/NAME.md`.

    Runs are kept in the folder `out`: what is there already is not trained again, what was interrupted continues, and
    what a record answers is not run at all.
    """
    show = progress or (lambda phase, done, total, said: None)
    asked = asked or Asked()
    if name in GRIDS:
        return _reproduce_grid(name, out, docs, asked, show)
    if name not in TABLES:
        raise Problem(f"table {name!r}: no such table{nearest(name, [*TABLES, *GRIDS])}")
    with_server = {"milvus": asked.milvus} if TABLES[name].server else {}
    record = TABLES[name].run(out, asked.budget, range(asked.seeds), show, **with_server)
    command = f"mnemon reproduce {name} --budget {asked.budget} --seeds {asked.seeds}"
    write_json(docs / "records" / f"{name}.json", {"format": 1, "table": name, "command": command, **record})
    return write_result_page(docs, name)


def _reproduce_grid(name: str, out: Path, docs: Path, asked: Asked, show: Progress) -> Path:
    scale = asked.chosen()
    rows = GRIDS[name].rows(scale)
    cells = wanted(rows, asked.data, asked.seeds, asked.steps)
    run_grid(cells, out, docs / "records" / "cells", asked.budget, show, asked.workers)
    steps = "" if asked.steps is None else f" --steps {asked.steps}"
    # The page shows every corpus that was ever run, so the command names them all, without the places of this machine.
    index = docs / "records" / f"{name}.json"
    before = read_json(index) if index.exists() else {}
    corpora = list(dict.fromkeys([*before.get("corpora", []), *asked.data]))
    seeds = max(before.get("seeds", 1), asked.seeds)
    data = " ".join(each if each == "python-env" else f"{each}=PATH" for each in corpora)
    command = f"mnemon reproduce {name} --data {data} --seeds {seeds}{steps}"
    said = {"corpora": corpora, "seeds": seeds, "scale": scale, "steps": asked.steps, "command": command}
    write_json(index, {"format": 1, "table": name, **said})
    return write_result_page(docs, name)


def write_result_page(docs: Path, name: str) -> Path:
    """The page of a table, made from its record."""
    path = docs / f"{name}.md"
    record = read_json(docs / "records" / f"{name}.json")
    if name in GRIDS:
        grid = GRIDS[name]
        write_text(
            path, grid_page(grid, grid.rows(record["scale"]), record["corpora"], docs / "records" / "cells", record)
        )
    else:
        write_text(path, page(record))
    return path


def page(record: Record) -> str:
    """A record as Markdown: what was asked, what came out, how and on what it was made."""
    table = TABLES[record["table"]]
    environment = record["environment"]
    lines = [f"# {table.title}", "", table.asks, "", *table.lines(record)]
    built = f", search kernel {environment['search_kernel']}" if "search_kernel" in environment else ""
    lines += [f"- {environment['processor']}, torch {environment['torch']}{built}, {environment['date']}."]
    command = f"- Command: `{record['command']}`. This page is written by it from `records/{record['table']}.json`."
    return "\n".join([*lines, command, ""])
