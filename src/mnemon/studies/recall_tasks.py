"""The table of recall beyond the window: one small model is trained on all tasks mixed, and asked."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnemon.data import DataConfig, load_corpus
from mnemon.evaluate import RULER, TASKS, wilson
from mnemon.studies.machine import machine
from mnemon.studies.pages import Record, row
from mnemon.studies.workers import Progress

SOURCE = "python-env"
FACTOR = 16
COUNT = 200
RULER_COUNT = 50
GOAL = 0.99


def recall_tasks_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    """A model a seed, trained in `out`/seed-N where it is not there yet, and its accuracy in every task.

    An interrupted training goes on where it was. The minutes make no difference.
    """
    # Both need transformers, which this room does not.
    training: Any = importlib.import_module("mnemon.studies.recall_training")
    playing: Any = importlib.import_module("mnemon.studies.eval_tasks")
    corpus = load_corpus(SOURCE, DataConfig(source=SOURCE))
    texts = [document.text for document in corpus.test]
    models = []
    for seed in seeds:
        config = training.RecallConfig(seed=seed)
        taught = training.teach(out / f"seed-{seed}", corpus.train, config, progress)
        window = config.host.window
        tokens = FACTOR * window
        tasks: dict[str, Any] = {}
        for names, count in ((TASKS, COUNT), (RULER, RULER_COUNT)):
            found = playing.eval_tasks(taught.memory, texts, list(names), tokens, window, count, seed, progress)
            tasks |= found["tasks"]
        models.append({"seed": seed, "seconds": taught.seconds, "history": taught.history, "tasks": tasks})
        parameters = sum(weight.numel() for weight in taught.memory.model.parameters())
    return {
        "models": models,
        "config": config.model_dump(mode="json"),
        "parameters": parameters,
        "factor": FACTOR,
        "tokens": tokens,
        "count": COUNT,
        "ruler_count": RULER_COUNT,
        "corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint},
        "environment": machine(),
    }


def recall_tasks_lines(record: Record) -> list[str]:
    """Accuracy of each task and seed with the interval over all episodes, citations and controls."""
    models = record["models"]
    seeds = [f"seed {model['seed']}" for model in models] if len(models) > 1 else []
    heads = ["task", "accuracy", "95 % interval", *seeds, "cited", "another's memory", "no memory"]
    lines = []
    ours, theirs = f"Ours, {record['factor']} times the window", "RULER's, at the same length"
    for title, names, count in ((ours, TASKS, record["count"]), (theirs, RULER, record["ruler_count"])):
        lines += [f"{title}:", "", row(heads), row(["---"] * len(heads))]
        lines += [row(_cells(name, [model["tasks"][name] for model in models], count, bool(seeds))) for name in names]
        lines += [""]
    missed = [name for name in TASKS if min(model["tasks"][name]["accuracy"] for model in models) < GOAL]
    said = f"below it: {', '.join(missed)}" if missed else "all of ours reach it, with every seed"
    lines += [f"The goal was {GOAL:.0%} in each of ours; {said}.", "", "How it was made:", ""]
    return [*lines, *_method(record)]


def _cells(name: str, found: Sequence[dict[str, Any]], count: int, seeds: bool) -> list[str]:
    scores = [each["accuracy"] for each in found]
    low, high = wilson(sum(scores) * count, count * len(scores))
    cited = [each["cited"] for each in found if each["cited"] is not None]
    means = [sum(each[control] for each in found) / len(found) for control in ("other", "without")]
    mean = f"{sum(scores) / len(scores):.1%}"
    shown = f"{sum(cited) / len(cited):.1%}" if cited else ""
    apart = [f"{score:.1%}" for score in scores] if seeds else []
    return [name, mean, f"{low:.1%} to {high:.1%}", *apart, shown, *(f"{each:.1%}" for each in means)]


def _method(record: Record) -> list[str]:
    config, models = record["config"], record["models"]
    host, memory = config["host"], config["memory"]
    seconds = ", ".join(f"{model['seconds']:,.0f}" for model in models)
    shape = f"{host['n_layers']} layers of width {host['dim']}, {host['n_heads']} heads of {host['head_dim']}"
    return [
        f"- A Qwen3 of transformers' own classes, {record['parameters']:,} parameters: {shape},"
        f" {host['vocab_size']} byte pairs; in training it sees {host['window']} tokens at once. Memory attached to"
        f" layer {memory['layers'][0]}: {memory['top_k']} neighbours a query, a gate and a slope of log2(age) a head,"
        " with each key the value of the next token.",
        f"- One training on all tasks mixed, from random weights: {config['steps']} steps of {config['sets']} memories"
        f" with up to {config['questions']} questions each, {seconds} seconds of one core. Gradients go through what is"
        " remembered.",
        f"- {record['count']} episodes a task and seed, {record['ruler_count']} of RULER's; documents of"
        f" {record['tokens']:,} tokens in all. Hay: lines of"
        f" corpus `{record['corpus']['name']}`, fingerprint `{record['corpus']['fingerprint']}`; training documents in"
        " training, test documents here. Names and numbers are of a quarter of all that training never draws from;"
        " depths are uniform.",
        "- An episode counts if each of its questions is answered to the last character, and facts only if every token"
        " of the answer cites the place where it stands. `cited`: the share of answer tokens whose heaviest citation"
        " does. RULER's are scored as there, by the share of expected words in what is written; words and phrases are"
        " ours.",
        "- Prompts are the beginning of a sentence; the model was trained on the sentences of ours and on those of"
        " niah_single_1 and niah_multikey_2, on nothing like the other four.",
    ]
