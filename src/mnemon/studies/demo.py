import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mnemon.config import Problem, write_json
from mnemon.evaluate import Result
from mnemon.recipes import recipe
from mnemon.report import FORMAT, check_extra, write_page
from mnemon.studies.findings import (
    BASELINE,
    LARGEST,
    MEMORIZING,
    Readings,
    comparisons,
    corpus_findings,
    model_findings,
)
from mnemon.studies.helped import helped
from mnemon.studies.machine import machine
from mnemon.studies.runs import TOKENS, evaluate_run, of_a_study, prepare, train_run, unseen
from mnemon.studies.workers import Progress, run_all
from mnemon.train import Run, load_run

SIZES = (0, 512, 2048, LARGEST)
# Minutes on two cores -> optimiser steps: a rerun gives the same figures on whatever machine.
STEPS = {1: 40, 5: 300, 15: 1000, 30: 2500, 60: 6000}
OWN = ("tokenizer.json", "report.html")  # what a folder without results may hold, beside runs

DOES_NOT_SHOW = (
    "That memory helps at other sizes, on other text or after longer training: this is one tiny model on Python code, "
    "trained for minutes, and a larger or longer-trained one may gain less.",
    "That memory beats a longer window: both models see {window} previous tokens, and the comparison model cannot "
    "reach further at all.",
    "The published setting: the memory stores the next token's value with each key and starts with equal query and "
    "key projections in its layer; `mnemon reproduce pairing` compares this with the published pairing.",
    "Spread over seeds: the intervals are over documents only; with several seeds each is shown.",
)


def demo(
    out: Path,
    minutes: int = 15,
    seeds: Sequence[int] = (0,),
    progress: Progress | None = None,
    source: str = "python-env",
) -> Path:
    """Train a Transformer-XL and a Memorizing Transformer of equal size on the same text; compare them on unseen text.

    Both see the same tokens in the same order; `results.json` and `report.html` are written to the folder `out`. One
    that already holds results is left alone and `out-2`, ... taken instead; one without is continued. `minutes` picks
    the number of steps from a table. `source`: a corpus as `load_corpus` takes it.
    """
    check_extra()
    if not seeds:
        raise Problem("no seed given: train with at least one")
    steps, folder = steps_of(minutes), _folder(Path(out))
    show = progress or (lambda phase, done, total, said: None)
    begun = time.perf_counter()
    corpus = prepare(recipe(MEMORIZING).replace(data__source=source), folder, show)
    documents = unseen(corpus)
    seconds = {"corpus and tokenizer": time.perf_counter() - begun}

    begun = time.perf_counter()
    wanted = [(name, seed) for name in (MEMORIZING, BASELINE) for seed in seeds]
    run_all(
        [
            partial(train_run, of_a_study(recipe(name), source, steps, seed), _run_folder(folder, name, seed))
            for name, seed in wanted
        ],
        show,
    )
    runs = {name: [load_run(_run_folder(folder, name, seed)) for seed in seeds] for name in (MEMORIZING, BASELINE)}
    seconds["training"] = time.perf_counter() - begun

    begun = time.perf_counter()
    own, other = _readings(runs, show)
    seconds["evaluation"] = time.perf_counter() - begun

    first = own[MEMORIZING][0]
    begun = time.perf_counter()
    readings = (first[0].documents, first[LARGEST].documents)
    (examples,) = run_all([partial(helped, runs[MEMORIZING][0].folder, documents, *readings, LARGEST)], show)
    seconds["examples"] = time.perf_counter() - begun
    model = runs[MEMORIZING][0].config.model
    results = {
        "format": FORMAT,
        "models": {name: model_findings(runs[name], own[name], seeds) for name in (MEMORIZING, BASELINE)},
        "comparisons": comparisons(own, other, model.window),
        "helped": examples,
        "corpus": corpus_findings(corpus, documents, model.vocab_size),
        "environment": machine(),
        "settings": runs[MEMORIZING][0].config.model_dump(mode="json"),
        "seconds": {phase: round(value, 1) for phase, value in seconds.items()},
        "method": [
            "Both models are trained from scratch with the same seeds on the same tokens in the same order; "
            f"{steps} steps, picked from a table by the minutes asked for ({minutes}).",
            f"Evaluated on the first {TOKENS:,} tokens of {len(documents)} documents of packages that no training "
            "document comes from; intervals are 95 % paired bootstrap intervals over these documents.",
        ],
        "does_not_show": [text.format(window=model.window) for text in DOES_NOT_SHOW],
        "command": "make demo" if tuple(seeds) == (0,) else f"mnemon demo --seeds {' '.join(map(str, seeds))}",
    }
    write_page(results, folder / "report.html")
    write_json(folder / "results.json", results)  # last: a folder with results is complete
    return folder


def _run_folder(folder: Path, name: str, seed: int) -> Path:
    return folder / f"{name}-seed{seed}"


def _readings(runs: dict[str, list[Run]], progress: Progress) -> tuple[Readings, list[Result]]:
    """Every run's results by memory size, and those of the memorizing runs with another document's memory."""
    memorizing = [run.folder for run in runs[MEMORIZING]]
    asked = [(folder, LARGEST, "other") for folder in memorizing]
    asked += [(folder, size, "own") for folder in memorizing for size in sorted(SIZES, reverse=True)]
    asked += [(run.folder, 0, "own") for run in runs[BASELINE]]
    found = run_all([partial(evaluate_run, *each) for each in asked], progress)
    results = dict(zip(asked, found, strict=True))
    own = {
        name: [
            {size: results[run.folder, size, "own"] for size in (SIZES if name == MEMORIZING else (0,))} for run in each
        ]
        for name, each in runs.items()
    }
    return own, [results[folder, LARGEST, "other"] for folder in memorizing]


def steps_of(minutes: int) -> int:
    """Steps of the largest entry of the table that fits into the minutes."""
    fitting = [limit for limit in STEPS if limit <= minutes]
    if not fitting:
        raise Problem(f"minutes {minutes}: at least {min(STEPS)} are needed")
    return STEPS[max(fitting)]


def _folder(out: Path) -> Path:
    """`out`, or the first of `out-2`, `out-3`, ... that holds no results yet."""
    folder, number = out, 1
    while (folder / "results.json").exists():
        number += 1
        folder = out.with_name(f"{out.name}-{number}")
    strange = [each.name for each in folder.glob("*") if each.name not in OWN and "-seed" not in each.name]
    if strange:
        raise Problem(f"{folder}: holds {strange[0]!r}, which is not part of a demonstration; choose another folder")
    return folder
