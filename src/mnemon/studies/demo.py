import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mnemon.config import Problem, write_json
from mnemon.data import Corpus, Document, Tokenizer, load_corpus, make_tokenizer
from mnemon.evaluate import Evaluation, Scored, evaluate
from mnemon.recipes import recipe
from mnemon.recipes.count import count_parameters
from mnemon.report import FORMAT, check_extra, write_page
from mnemon.studies.compare import between, compare, mean_over_seeds
from mnemon.studies.helped import helped
from mnemon.studies.machine import machine
from mnemon.train import Run, RunConfig, load_run, read_records, train

MEMORIZING, BASELINE = "memorizing-tiny", "transformer-xl-tiny"
SIZES = (0, 512, 2048, 8192)
LARGEST = SIZES[-1]
# Minutes on two cores -> optimiser steps: a rerun gives the same figures on whatever machine.
STEPS = {1: 40, 5: 300, 15: 1000, 30: 2500, 60: 6000}
DOCUMENTS = 24  # unseen documents evaluated
TOKENS = 12_288  # of each at most
LEAST_CHARACTERS = 40_000  # of a document worth evaluating: the largest memory must fill

Progress = Callable[[str, int, int, str], None]

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


@dataclass
class _Study:
    """One demonstration on its way: where it writes, what it reads, and how long each phase took."""

    out: Path
    steps: int
    corpus: Corpus
    tokenizer: Tokenizer
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    def documents(self) -> list[Document]:
        """Unseen documents long enough to fill the memory, chosen by a hash of nothing but their order."""
        long = [document for document in self.corpus.test if len(document.text) >= LEAST_CHARACTERS]
        if not long:
            raise Problem(
                f"corpus {self.corpus.name}: no test document of {LEAST_CHARACTERS} characters to evaluate on"
            )
        return long[:DOCUMENTS]

    def timed(self, phase: str, begun: float) -> None:
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - begun

    def train(self, name: str, seed: int) -> Run:
        """A run of one recipe and seed; one that is already complete is not trained again."""
        begun, config, folder = time.perf_counter(), self.config(name, seed), self.out / f"{name}-seed{seed}"

        def note(record: dict[str, float]) -> None:
            said = f"loss {record['loss']:.3f}, {record['tokens_per_second']:,.0f} tokens/s"
            self.progress(f"training {name}, seed {seed}", int(record["step"]), self.steps, said)

        train(config, folder, self.corpus, self.tokenizer, note)
        self.timed(f"train {name}", begun)
        return load_run(folder)

    def config(self, name: str, seed: int) -> RunConfig:
        base = recipe(name)
        return base.replace(train__steps=self.steps, train__seed=seed, train__checkpoint_every=max(self.steps, 1))

    def read(self, run: Run, documents: Sequence[Document], sizes: Sequence[int], source: str = "own") -> Evaluation:
        """The losses of a model on the unseen documents."""
        begun, name = time.perf_counter(), run.config.recipe
        found = evaluate(
            run.model,
            documents,
            run.tokenizer,
            sizes,
            rows=DOCUMENTS,
            precision=run.config.train.precision,
            max_tokens=TOKENS,
            memory_source="other" if source == "other" else "own",
            on_progress=lambda done, total: self.progress(f"evaluating {name}, {source} memory", done, total, "tokens"),
        )
        self.timed(f"evaluate {name}", begun)
        return found


def demo(out: Path, minutes: int = 15, seeds: Sequence[int] = (0,), progress: Progress | None = None) -> Path:
    """Train a Transformer-XL and a Memorizing Transformer of equal size on Python code and compare them on unseen code.

    Both see the same tokens in the same order; `results.json` and `report.html` are written to the folder `out`, or
    beside it (`out-2`, ...) if it is taken. `minutes` picks the number of steps from a table.
    """
    check_extra()
    steps = _steps(minutes)
    show = progress or (lambda phase, done, total, said: None)
    folder = _free(out)
    show("reading the corpus", 0, 1, "")
    begun = time.perf_counter()
    data = recipe(MEMORIZING).data
    corpus = load_corpus(data.source, data)
    show("training the tokenizer", 0, 1, "")
    study = _Study(folder, steps, corpus, make_tokenizer(data, corpus.train), show)
    study.timed("corpus and tokenizer", begun)
    documents = study.documents()
    runs = {name: [study.train(name, seed) for seed in seeds] for name in (BASELINE, MEMORIZING)}
    own = {name: [study.read(run, documents, _sizes(name)) for run in found] for name, found in runs.items()}
    other = [study.read(run, documents, (LARGEST,), "other") for run in runs[MEMORIZING]]
    first = own[MEMORIZING][0].memory
    results = {
        "format": FORMAT,
        "models": {name: _model(runs[name], own[name], seeds) for name in (MEMORIZING, BASELINE)},
        "comparisons": _comparisons(own, other, runs[MEMORIZING][0].config.model.window),
        "helped": helped(runs[MEMORIZING][0], documents, first[0].documents, first[LARGEST].documents, LARGEST),
        "corpus": _corpus(corpus, documents, study.tokenizer),
        "environment": machine(),
        "settings": runs[MEMORIZING][0].config.model_dump(mode="json"),
        "seconds": {phase: round(value, 1) for phase, value in study.seconds.items()},
        "method": [
            "Both models are trained from scratch with the same seeds on the same tokens in the same order; "
            f"{steps} steps, picked from a table by the minutes asked for ({minutes}).",
            f"Evaluated on the first {TOKENS:,} tokens of {len(documents)} documents of packages that no training "
            "document comes from; intervals are 95 % paired bootstrap intervals over these documents.",
        ],
        "does_not_show": [text.format(window=runs[MEMORIZING][0].config.model.window) for text in DOES_NOT_SHOW],
        "command": "make demo" if tuple(seeds) == (0,) else f"mnemon demo --seeds {' '.join(map(str, seeds))}",
    }
    write_json(folder / "results.json", results)
    write_page(results, folder / "report.html")
    return folder


def _steps(minutes: int) -> int:
    """Steps of the largest entry of the table that fits into the minutes."""
    fitting = [limit for limit in STEPS if limit <= minutes]
    if not fitting:
        raise Problem(f"minutes {minutes}: at least {min(STEPS)} are needed")
    return STEPS[max(fitting)]


def _free(out: Path) -> Path:
    """`out`, or the first of `out-2`, `out-3`, ... that is not taken."""
    folder, number = out, 1
    while folder.exists() and any(folder.iterdir()):
        number += 1
        folder = out.with_name(f"{out.name}-{number}")
    return folder


def _sizes(name: str) -> tuple[int, ...]:
    return SIZES if name == MEMORIZING else (0,)


def _model(runs: Sequence[Run], found: Sequence[Evaluation], seeds: Sequence[int]) -> dict[str, Any]:
    """What the results say of one model."""
    sizes = [str(size) for size in found[0].memory]
    values = [evaluation.as_json()["memory"] for evaluation in found]
    attention = [block.attention for block in runs[0].model.blocks]
    gates = {
        str(layer): each.gate.detach().sigmoid().tolist()
        for layer, each in enumerate(attention)
        if each.gate is not None
    }
    records = read_records(runs[0].folder)
    thin = max(len(records) // 200, 1)
    return {
        "params": count_parameters(runs[0].config.model).total,
        "tokens": int(records[-1]["tokens"]),
        "seeds": list(seeds),
        **{
            metric: {size: float(np.mean([value[size][metric] for value in values])) for size in sizes}
            for metric in ("bits_per_byte", "nats_per_token")
        },
        "by_position": {size: _mean_bins([value[size]["by_position"] for value in values]) for size in sizes},
        "per_seed": [
            {"seed": seed, "bits_per_byte": {size: value[size]["bits_per_byte"] for size in sizes}}
            for seed, value in zip(seeds, values, strict=True)
        ],
        "gates": gates,
        "training": [{"step": int(each["step"]), "loss": each["loss"]} for each in records[::thin]],
    }


def _mean_bins(bins: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [
        {**each[0], "bits_per_byte": float(np.mean([one["bits_per_byte"] for one in each]))}
        for each in zip(*bins, strict=True)
    ]


def _comparisons(own: dict[str, list[Evaluation]], other: Sequence[Evaluation], window: int) -> list[dict[str, Any]]:
    def reading(evaluations: Sequence[Evaluation], size: int) -> list[Scored]:
        return mean_over_seeds([each.memory[size].documents for each in evaluations])

    full, none = reading(own[MEMORIZING], LARGEST), reading(own[MEMORIZING], 0)
    baseline, stranger = reading(own[BASELINE], 0), reading(other, LARGEST)
    text = f"{MEMORIZING} with a memory of {LARGEST} entries has a lower loss than "
    return [
        compare("memory against none", text + "the same model without its memory.", full, none),
        compare("memory against Transformer-XL", text + f"{BASELINE} of equal size, tokens and seeds.", full, baseline),
        compare(
            "own against another document's memory",
            f"The document's own memory helps more than one of {LARGEST} entries filled by another document.",
            full,
            stranger,
        ),
        compare(
            f"beyond position {2 * window}",
            f"Against {BASELINE}, for the tokens whose document began out of reach of window and cache.",
            between(full, 2 * window),
            between(baseline, 2 * window),
        ),
        compare(
            f"up to position {window}",
            f"Against {BASELINE}, for the first {window} tokens of each document, which its window covers whole.",
            between(full, 0, window),
            between(baseline, 0, window),
        ),
    ]


def _corpus(corpus: Corpus, documents: Sequence[Document], tokenizer: Tokenizer) -> dict[str, Any]:
    splits = {name: corpus.split(name) for name in ("train", "valid", "test")}
    return {
        "name": corpus.name,
        "fingerprint": corpus.fingerprint,
        "documents": {name: len(found) for name, found in splits.items()},
        "bytes": {name: sum(len(each.text.encode()) for each in found) for name, found in splits.items()},
        "skipped": corpus.skipped,
        "tokenizer": f"byte-level BPE, {tokenizer.vocab_size} tokens, trained on the training documents",
        "evaluated": ", ".join(document.id for document in documents),
    }
