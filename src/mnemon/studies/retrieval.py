import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from mnemon.config import Problem
from mnemon.data import Document, load_corpus
from mnemon.evaluate import Returned, View, by_gain, looked_up, rates
from mnemon.studies.cell import Cell, trained
from mnemon.studies.findings import LARGEST, MEMORIZING, corpus_findings
from mnemon.studies.grid import share_tokenizer
from mnemon.studies.inspecting import with_rate
from mnemon.studies.machine import machine
from mnemon.studies.pages import Record, row
from mnemon.studies.runs import TOKENS, unseen
from mnemon.studies.tables_b import main_row
from mnemon.studies.workers import Progress, run_all
from mnemon.train import Run, load_run

VIEWS: dict[View, str] = {
    "name": "at the piece that gained most, names by the gain of all their pieces",
    "token": "at the piece that gained most, names by the gain of that piece",
    "first token": "at the first token of the name, names by its gain",
}
GROUPS = {"high": "largest gain", "low": "smallest gain", "every": "every name"}
TARGET = {"rate": 0.8, "times_random": 3.0}
BY_GAIN: dict[View, str] = {"name": "of all their pieces", "token": "of one piece"}  # readings of "names of high gain"
EXAMPLES = 10
METHOD = (
    "A name is a longest run of [A-Za-z_0-9], not of digits alone, of four characters or more; asked for are those "
    "whose last occurrence lies beyond the window of {window} tokens and still in the memory of {memory} entries.",
    "Found: one of the 4 entries of largest weight over all heads, each stored token once, is the same name. An entry "
    "is the name if {entry} lies in an earlier occurrence of it.",
    "Random: the chance that one of 4 different entries drawn from the same memory is the name, computed exactly and "
    "averaged over the same names.",
    "The gain is how many bits fewer the tokens cost with the memory than without. Of each seed the 100 names of "
    "largest and the 100 of smallest gain, each name of a document once. By the gain of all its pieces, a long name "
    "stands before a short one that was as hard to foresee; its many tokens are also met more often at random, so that "
    "the ratio tells more than the rate. By the gain of one piece, length plays no part. The order by all pieces was "
    "chosen first; the other was added after its outcome was known.",
    "Inside a name, what stands before tells part of it; at its first token nothing does, and there the gain is that "
    "of the first token alone.",
    "Intervals: 95 % bootstrap over documents.",
)
ENTRIES = {
    "next": "the token whose value it gives (the one that came next) ",
    "own": "its token, or the token right behind it, ",
}


def check_run(run: Run, documents: int, memory: int | None, max_tokens: int, progress: Progress) -> Record:
    """Whether names that return are looked up where they stood before, on the longest test documents of a run.

    The hand check of arXiv 2203.08913 (how many lemma names retrieve the lemma), made automatic.
    """
    if documents < 1:
        raise Problem(f"documents {documents}: at least 1")
    corpus = load_corpus(run.config.data.source, run.config.data)
    chosen = sorted(corpus.test, key=lambda each: -len(each.text))[:documents]
    asked = _asked(run, chosen, memory, max_tokens, progress)
    return {"format": 1, "run": run.folder.resolve().name, **_findings([asked], [run.config.train.seed], run, memory)}


def retrieval_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    """The same for the model of `B-main` with a cache and a memory of 128 segments, once a seed."""
    chosen = main_row("tiny", 1, 128, cache=True)
    cells = [chosen.cell("python-env", "python-env", seed) for seed in seeds]
    share_tokenizer(cells[0], out, progress)
    asked = run_all([partial(_check_cell, cell, out) for cell in cells], progress)
    run = load_run(out / cells[0].key)
    corpus = load_corpus(run.config.data.source, run.config.data)
    return {
        "steps": run.config.train.steps,
        **_findings(asked, seeds, run, LARGEST),
        "corpus": corpus_findings(corpus, unseen(corpus), run.config.model.vocab_size),
        "environment": machine(),
    }


def _check_cell(cell: Cell, out: Path, progress: Progress) -> list[Returned]:
    corpus = load_corpus(cell.config.data.source, cell.config.data)
    return _asked(trained(cell, corpus, out, math.inf, progress), unseen(corpus), LARGEST, TOKENS, progress)


def _asked(
    run: Run, documents: Sequence[Document], memory: int | None, max_tokens: int, progress: Progress
) -> list[Returned]:
    said = with_rate(progress)
    return looked_up(run.model, documents, run.tokenizer, memory, run.config.train.precision, max_tokens, said)


def _findings(asked: Sequence[Sequence[Returned]], seeds: Sequence[int], run: Run, memory: int | None) -> Record:
    """Rates by view and group, over all seeds and of each; examples of the first seed."""
    model = run.config.model
    assert model.pools.knn is not None
    views: dict[str, Any] = {}
    for view in VIEWS:
        of_seeds = [by_gain([each for each in one if each.view == view]) for one in asked]
        views[view] = {
            group: rates([each for one in of_seeds for each in one[group]])
            | {"per_seed": [{"seed": seed, **rates(one[group])} for seed, one in zip(seeds, of_seeds, strict=True)]}
            for group in GROUPS
        }
    size, value = memory or model.pools.knn.size, model.pools.knn.value
    examples = by_gain([each for each in asked[0] if each.view == "name"], EXAMPLES)
    return {
        "memory": size,
        "window": model.window,
        "value": value,
        "seeds": list(seeds),
        "views": views,
        "target": TARGET,
        "met": {view: all(views[view]["high"][name] >= least for name, least in TARGET.items()) for view in BY_GAIN},
        "examples": {group: [asdict(each) for each in examples[group]] for group in ("high", "low")},
        "method": [
            text.format(window=model.window, memory=f"{size:,}", entry=ENTRIES[value].strip()) for text in METHOD
        ],
    }


def retrieval_lines(record: Record) -> list[str]:
    """What was found by view and group, beside what a draw finds, and the target."""
    lines = []
    for view, groups in record["views"].items():
        lines += [f"Asked {VIEWS[view]}:", ""]
        lines += [
            row(["names", "seed", "asked", "bits gained", "found", "interval", "random", "times random", "interval"])
        ]
        lines += [row(["---"] * 9)]
        for group, found in groups.items():
            several = len(found["per_seed"]) > 1
            for one in [*([{"seed": "all", **found}] if several else []), *found["per_seed"]]:
                lines.append(row([GROUPS[group], str(one["seed"]), *_figures(one)]))
        lines.append("")
    target = record["target"]
    lines.append(
        f"Target, for the names of largest gain: {100 * target['rate']:.0f} % found, {target['times_random']:.0f} "
        "times as many as at random."
    )
    for view, met in record["met"].items():
        high, said = record["views"][view]["high"], "met" if met else "not met"
        lines.append(
            f"By the gain {BY_GAIN[view]} it is {said}: {100 * high['rate']:.0f} %, {high['times_random']:.1f} times."
        )
    shown = ", ".join(
        f"`{each['name']}`{'' if each['found'] else ' (not found)'}" for each in record["examples"]["high"]
    )
    lines += [
        "",
        f"The first of them by the gain of all their pieces: {shown}.",
        "",
        "How it was made:",
        "",
        *(f"- {line}" for line in record["method"]),
    ]
    if "steps" in record:
        lines.append(f"- `{MEMORIZING}`, {record['steps']} steps from scratch, one run a seed.")
    if "corpus" in record:
        lines.append(f"- Corpus `{record['corpus']['name']}`, fingerprint `{record['corpus']['fingerprint']}`.")
    return lines


def _figures(found: dict[str, Any]) -> list[str]:
    low, high = found["interval"]
    least, most = found["times_interval"]
    return [
        f"{found['names']:,}",
        f"{found['bits_gained']:+.1f}",
        f"{100 * found['rate']:.0f} %",
        f"{100 * low:.0f} to {100 * high:.0f} %",
        f"{100 * found['random']:.1f} %",
        f"{found['times_random']:.1f}",
        f"{least:.1f} to {most:.1f}",
    ]
