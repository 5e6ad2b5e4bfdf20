from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mnemon.recipes import recipe
from mnemon.studies.compare import compare, mean_over_seeds
from mnemon.studies.demo import steps_of
from mnemon.studies.findings import LARGEST, MEMORIZING, corpus_findings
from mnemon.studies.machine import machine
from mnemon.studies.pages import Record, row
from mnemon.studies.runs import evaluate_run, of_a_study, prepare, train_run, unseen
from mnemon.studies.workers import Progress, run_all
from mnemon.train import RunConfig, read_records

LOOKS = 10  # times the keys are looked at in a training
COSINE = "key_cosine"
STORED, RENEWED = "stored once", "encoded anew"


def staleness_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    """How stale the memory of `memorizing-tiny` is in training, and what it brings to encode it anew now and then."""
    steps = steps_of(minutes)
    every = max(1, steps // LOOKS)
    corpus = prepare(recipe(MEMORIZING), out, progress)
    folders = {
        (name, seed): out / f"{name.replace(' ', '-')}-seed{seed}" for name in (STORED, RENEWED) for seed in seeds
    }
    tasks = [partial(train_run, _config(name, steps, every, seed), each) for (name, seed), each in folders.items()]
    run_all(tasks, progress)
    found = run_all([partial(evaluate_run, folder, LARGEST, "own") for folder in folders.values()], progress)
    results = dict(zip(folders, found, strict=True))
    stored, renewed = ([results[name, seed] for seed in seeds] for name in (STORED, RENEWED))
    looks = [
        {key: value for key, value in record.items() if key == "step" or key.startswith(COSINE)}
        for record in read_records(folders[STORED, seeds[0]])
        if COSINE in record
    ]
    text = f"Encoding the memory anew every {every} steps lowers the loss."
    documents = (
        mean_over_seeds([each.documents for each in renewed]),
        mean_over_seeds([each.documents for each in stored]),
    )
    return {
        "steps": steps,
        "every": every,
        "seeds": list(seeds),
        "looks": looks,
        "bits_per_byte": {
            name: [float(each.metrics["bits_per_byte"]) for each in found]
            for name, found in ((STORED, stored), (RENEWED, renewed))
        },
        "comparison": compare(RENEWED, text, *documents),
        "corpus": corpus_findings(corpus, unseen(corpus), recipe(MEMORIZING).data.vocab_size or 0),
        "environment": machine(),
    }


def _config(name: str, steps: int, every: int, seed: int) -> RunConfig:
    config = of_a_study(recipe(MEMORIZING), "python-env", steps, seed)
    return config.replace(train__drift_every=every, train__reencode_every=every if name == RENEWED else None)


def staleness_lines(record: Record) -> list[str]:
    """Cosine of stored keys with those of the present weights, by step and age; and the losses of both trainings."""
    ages = list(dict.fromkeys(key for look in record["looks"] for key in look if key.startswith(f"{COSINE}_")))
    names = [key.removeprefix(f"{COSINE}_").replace("_to_", " to ") for key in ages]
    lines = [
        "Mean cosine of a stored key with what the weights of that step make of the same token, by age in segments.",
        "",
    ]
    lines += [row(["step", "all", *names]), row(["---"] * (2 + len(names)))]
    for look in record["looks"]:
        values = [f"{look[key]:.3f}" if key in look else "" for key in (COSINE, *ages)]
        lines.append(row([str(look["step"]), *values]))
    lines += ["", row(["memory in training", "bits per byte, unseen documents", "seeds"]), row(["---"] * 3)]
    for name, values in record["bits_per_byte"].items():
        lines.append(row([name, f"{np.mean(values):.4f}", str(len(values))]))
    claim = record["comparison"]
    low, high = claim["interval"]
    said = f"{claim['bits_per_byte']:+.4f}, 95 % interval over documents {low:+.4f} to {high:+.4f}"
    lines += ["", f"{claim['text']} {'Yes' if claim['holds'] else 'No'}: {said}.", "", "How it was made:", ""]
    about = f"`{MEMORIZING}`, {record['steps']} steps on `{record['corpus']['name']}`"
    return [*lines, f"- {about}, fingerprint `{record['corpus']['fingerprint']}`; read with {LARGEST:,} entries."]
