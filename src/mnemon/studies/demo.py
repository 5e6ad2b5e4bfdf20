import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mnemon.config import Problem, write_json
from mnemon.data import Corpus, Document, load_corpus, load_tokenizer, make_tokenizer
from mnemon.evaluate import Result, evaluate
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
from mnemon.studies.workers import Progress, run_all
from mnemon.train import Run, RunConfig, load_run, resume, train

SIZES = (0, 512, 2048, LARGEST)
# Minutes on two cores -> optimiser steps: a rerun gives the same figures on whatever machine.
STEPS = {1: 40, 5: 300, 15: 1000, 30: 2500, 60: 6000}
DOCUMENTS = 24  # unseen documents evaluated
TOKENS = 12_288  # of each at most
LEAST_CHARACTERS = 40_000  # of a document worth evaluating: the largest memory must fill
OWN = ("tokenizer.json", "report.html")  # what a folder without results may hold, beside runs

DOES_NOT_SHOW = (
    "That memory helps at other sizes, on other text or after longer training: this is one tiny model on Python code, "
    "trained for minutes, and a larger or longer-trained one may gain less.",
    "That memory beats a longer window: both models see {window} previous tokens, and the comparison model cannot "
    "reach further at all.",
    "The published setting: the memory stores the next token's value with each key and starts with equal query and "
    "key projections in its layer; the page on Memorizing Transformers in the documentation compares this with the "
    "published pairing.",
    "Spread over seeds, unless several were run: with one seed the intervals are over documents only.",
)


def demo(out: Path, minutes: int = 15, seeds: Sequence[int] = (0,), progress: Progress | None = None) -> Path:
    """Train a Transformer-XL and a Memorizing Transformer of equal size on Python code and compare them on unseen code.

    Both see the same tokens in the same order; `results.json` and `report.html` are written to the folder `out`. One
    that already holds results is left alone and `out-2`, ... taken instead; one without is continued. `minutes` picks
    the number of steps from a table.
    """
    check_extra()
    steps, folder = _steps(minutes), _folder(Path(out))
    show = progress or (lambda phase, done, total, said: None)
    begun = time.perf_counter()
    show("reading the corpus", 0, 2, "")
    data = recipe(MEMORIZING).data
    corpus = load_corpus(data.source, data)
    documents = _documents(corpus)
    show("training the tokenizer", 1, 2, "")
    make_tokenizer(data, corpus.train).save(folder / "tokenizer.json")
    show("training the tokenizer", 2, 2, "")
    seconds = {"corpus and tokenizer": time.perf_counter() - begun}

    begun = time.perf_counter()
    wanted = [(name, seed) for name in (MEMORIZING, BASELINE) for seed in seeds]
    configs = [_config(name, steps, seed) for name, seed in wanted]
    run_all([partial(_train, config, folder) for config in configs], show)
    runs = {name: [load_run(_run_folder(folder, name, seed)) for seed in seeds] for name in (MEMORIZING, BASELINE)}
    seconds["training"] = time.perf_counter() - begun

    begun = time.perf_counter()
    own, other = _readings(runs, show)
    seconds["evaluation"] = time.perf_counter() - begun

    first = own[MEMORIZING][0]
    begun = time.perf_counter()
    examples = helped(runs[MEMORIZING][0], documents, first[0].documents, first[LARGEST].documents, LARGEST)
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


def _config(name: str, steps: int, seed: int) -> RunConfig:
    base = recipe(name)
    return base.replace(train__steps=steps, train__seed=seed, train__checkpoint_every=250, train__threads=1)


def _run_folder(folder: Path, name: str, seed: int) -> Path:
    return folder / f"{name}-seed{seed}"


def _train(config: RunConfig, folder: Path, progress: Progress) -> None:
    """Train one run of the demonstration, or continue it where an earlier call left it."""
    out = _run_folder(folder, config.recipe, config.train.seed)

    def note(record: dict[str, float]) -> None:
        said = f"loss {record['loss']:.3f}, {record['tokens_per_second']:,.0f} tokens/s"
        progress(f"training {config.recipe}, seed {config.train.seed}", int(record["step"]), config.train.steps, said)

    if (out / "config.json").exists():
        resume(out, on_step=note, steps=config.train.steps)
    else:
        train(config, out, tokenizer=load_tokenizer(folder / "tokenizer.json"), on_step=note)


def _evaluate(folder: Path, size: int, source: str, progress: Progress) -> Result:
    """The losses of one run on the unseen documents, with one memory size."""
    run = load_run(folder)
    data = run.config.data
    whose = "another document's memory" if source == "other" else "memory"

    def note(done: int, total: int) -> None:
        progress(f"evaluating {folder.name}, {whose} {size}", done, total, "tokens")

    found = evaluate(
        run.model,
        _documents(load_corpus(data.source, data)),
        run.tokenizer,
        (size,),
        rows=DOCUMENTS,
        precision=run.config.train.precision,
        max_tokens=TOKENS,
        memory_source="other" if source == "other" else "own",
        on_progress=note,
    )
    return found.memory[size]


def _readings(runs: dict[str, list[Run]], progress: Progress) -> tuple[Readings, list[Result]]:
    """Every run's results by memory size, and those of the memorizing runs with another document's memory."""
    memorizing = [run.folder for run in runs[MEMORIZING]]
    asked = [(folder, LARGEST, "other") for folder in memorizing]
    asked += [(folder, size, "own") for folder in memorizing for size in sorted(SIZES, reverse=True)]
    asked += [(run.folder, 0, "own") for run in runs[BASELINE]]
    found = run_all([partial(_evaluate, *each) for each in asked], progress)
    results = dict(zip(asked, found, strict=True))
    own = {
        name: [
            {size: results[run.folder, size, "own"] for size in (SIZES if name == MEMORIZING else (0,))} for run in each
        ]
        for name, each in runs.items()
    }
    return own, [results[folder, LARGEST, "other"] for folder in memorizing]


def _documents(corpus: Corpus) -> list[Document]:
    """Unseen documents that are long enough to fill the memory."""
    long = [document for document in corpus.test if len(document.text) >= LEAST_CHARACTERS]
    if not long:
        raise Problem(f"corpus {corpus.name}: no test document of {LEAST_CHARACTERS} characters to evaluate on")
    return long[:DOCUMENTS]


def _steps(minutes: int) -> int:
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
