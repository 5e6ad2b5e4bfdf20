from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mnemon.evaluate import Result
from mnemon.recipes import count_parameters, recipe
from mnemon.studies.compare import compare, mean_over_seeds
from mnemon.studies.demo import steps_of
from mnemon.studies.findings import LARGEST, MEMORIZING, corpus_findings
from mnemon.studies.machine import machine
from mnemon.studies.runs import evaluate_run, of_a_study, prepare, train_run, unseen
from mnemon.studies.workers import Progress, run_all
from mnemon.train import RunConfig, load_run, read_records

FULL = "next value, equal start"
PUBLISHED = "own value, unequal start (as published)"
VARIANTS: dict[str, tuple[str, bool]] = {
    FULL: ("next", True),
    "next value, unequal start": ("next", False),
    "own value, equal start": ("own", True),
    PUBLISHED: ("own", False),
}


def pairing(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> dict[str, Any]:
    """The four ways to store and to start the memory of `memorizing-tiny`, trained alike and evaluated alike."""
    steps = steps_of(minutes)
    corpus = prepare(recipe(MEMORIZING), out, progress)
    folders = {(name, seed): out / f"{i}-seed{seed}" for i, name in enumerate(VARIANTS) for seed in seeds}
    run_all(
        [
            partial(train_run, of_a_study(_variant(name), "python-env", steps, seed), folder)
            for (name, seed), folder in folders.items()
        ],
        progress,
    )
    asked = [(folder, size) for folder in folders.values() for size in (LARGEST, 0)]
    found = run_all([partial(evaluate_run, folder, size, "own") for folder, size in asked], progress)
    results: dict[tuple[Path, int], Result] = dict(zip(asked, found, strict=True))

    def readings(name: str, size: int) -> list[Result]:
        return [results[folders[name, seed], size] for seed in seeds]

    def figure(result: Result) -> float:
        return float(result.metrics["bits_per_byte"])

    best = mean_over_seeds([each.documents for each in readings(FULL, LARGEST)])
    return {
        "steps": steps,
        "models": {
            name: {
                "params": count_parameters(load_run(folders[name, seeds[0]]).config.model).total,
                "tokens": int(read_records(folders[name, seeds[0]])[-1]["tokens"]),
                "seeds": list(seeds),
                "bits_per_byte": {
                    str(size): float(np.mean([figure(each) for each in readings(name, size)])) for size in (0, LARGEST)
                },
                "per_seed": [
                    {
                        "seed": seed,
                        "bits_per_byte": {str(s): figure(results[folders[name, seed], s]) for s in (0, LARGEST)},
                    }
                    for seed in seeds
                ],
            }
            for name in VARIANTS
        },
        "comparisons": [
            compare(
                name,
                f"With {LARGEST} entries, {FULL!r} has a lower loss than {name!r}.",
                best,
                mean_over_seeds([each.documents for each in readings(name, LARGEST)]),
            )
            for name in VARIANTS
            if name != FULL
        ],
        "corpus": corpus_findings(corpus, unseen(corpus), load_run(folders[FULL, seeds[0]]).config.model.vocab_size),
        "environment": machine(),
        "method": [f"All variants are trained from scratch for {steps} steps on the same tokens in the same order."],
    }


def _variant(name: str) -> RunConfig:
    value, equal = VARIANTS[name]
    return recipe(MEMORIZING).replace(model__pools__knn__value=value, model__attention__equal_start=equal)
