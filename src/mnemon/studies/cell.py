"""One training with one seed, evaluated: what the rows of a table are made of, and the small record that it leaves."""

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mnemon.config import Config, Problem, read_json, write_json
from mnemon.data import Corpus, Document, load_corpus, load_tokenizer
from mnemon.evaluate import Result, Scored, evaluate
from mnemon.recipes import count_parameters
from mnemon.studies.corpora import about
from mnemon.studies.machine import machine
from mnemon.studies.workers import Progress
from mnemon.train import Run, RunConfig, load_run, read_records, resume, train

FORMAT = 1
DOCUMENTS = 24  # test documents evaluated at most
TOKENS = 294_912  # of all of them together, at most
LEAST_CHARACTERS = 16_384  # of a document worth evaluating
EVERY = 20  # steps between two words of progress
BLOCKS = 32  # parts of a stream that stand for documents in intervals


class OutOfTime(Exception):
    """The time given is over; what was trained is kept."""


@dataclass(frozen=True)
class Cell:
    """A config with its corpus, steps and seed; `start`: the cell whose weights it begins with."""

    config: RunConfig
    corpus: str
    start: "Cell | None" = None

    @property
    def key(self) -> str:
        """Name of its record: a digest of every setting that is not a default, the corpus's name and its start.

        Defaults are left out so that a field added later does not make the records of before useless.
        """
        config = self.config.replace(recipe="", data__source=self.corpus, data__cache=None)
        said = {"config": _settings(config), "start": None if self.start is None else self.start.key}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _settings(config: Config) -> dict[str, Any]:
    found: dict[str, Any] = {"": type(config).__name__}
    for name, value in config:
        if value != type(config).model_fields[name].get_default(call_default_factory=True):
            found[name] = _settings(value) if isinstance(value, Config) else json.loads(json.dumps(value, default=str))
    return found


def recorded(records: Path, cell: Cell) -> dict[str, Any] | None:
    """The record of a cell, if it has been run."""
    path = records / f"{cell.key}.json"
    return read_json(path) if path.exists() else None


def run_cell(cell: Cell, sizes: Sequence[int], out: Path, records: Path, end: float, progress: Progress) -> bool:
    """Train the cell in `out`, or continue it, evaluate it at the memory `sizes` that its record lacks, and record it.

    False where the time was over at `end` (seconds since the epoch): the run continues from its checkpoint next time.
    """
    if time.time() > end:
        return False
    corpus = load_corpus(cell.config.data.source, cell.config.data)
    try:
        run = trained(cell, corpus, out, end, progress)
    except OutOfTime:
        return False
    record = recorded(records, cell) or _described(cell, run, corpus)
    for size in sizes:
        if str(size) not in record["memory"]:
            record["memory"][str(size)] = _evaluated(run, corpus, size, progress)
            write_json(records / f"{cell.key}.json", record)
    shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)  # the record is whole: only the weights are kept
    return True


def trained(cell: Cell, corpus: Corpus, out: Path, end: float, progress: Progress) -> Run:
    """The run of a cell in the folder `out`, trained as far as it was not."""
    folder, steps = out / cell.key, cell.config.train.steps

    def note(record: dict[str, float]) -> None:
        if time.time() > end and record["step"] < steps:
            raise OutOfTime
        if record["step"] % EVERY and record["step"] < steps:
            return
        said = f"loss {record['loss']:.3f}, {record['tokens_per_second']:,.0f} tokens/s"
        progress(
            f"training {cell.config.recipe} on {cell.corpus}, seed {cell.config.train.seed}",
            int(record["step"]),
            steps,
            said,
        )

    records = read_records(folder) if (folder / "config.json").exists() else []
    if records and int(records[-1]["step"]) >= steps and (folder / "model.safetensors").exists():
        return load_run(folder)
    if records or (folder / "config.json").exists():
        resume(folder, corpus, note)
    elif cell.start is not None:
        train(cell.config, folder, corpus, on_step=note, start_from=out / cell.start.key)
    else:
        train(cell.config, folder, corpus, load_tokenizer(tokenizer_file(out, cell)), note)
    return load_run(folder)


def tokenizer_file(out: Path, cell: Cell) -> Path:
    """Where the tokenizer that all cells with this corpus and these data settings share is kept."""
    data = _settings(cell.config.data.replace(source=cell.corpus, cache=None))
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:8]
    return out / f"{cell.corpus}-{digest}.tokenizer.json"


def _described(cell: Cell, run: Run, corpus: Corpus) -> dict[str, Any]:
    """What a record says of a run beside its losses."""
    config, steps = cell.config, read_records(run.folder)
    return {
        "format": FORMAT,
        "recipe": config.recipe,
        "corpus": {"name": cell.corpus, "fingerprint": corpus.fingerprint, **about(config.data.source)},
        "settings": _settings(config.replace(data__source=cell.corpus, data__cache=None)),
        "start": None if cell.start is None else cell.start.key,
        "seed": config.train.seed,
        "steps": int(steps[-1]["step"]),
        "tokens": int(steps[-1]["tokens"]),
        "params": count_parameters(run.config.model).total,
        "tokens_per_second": round(float(np.median([each["tokens_per_second"] for each in steps]))),
        "training": [[int(each["step"]), round(each["loss"], 4)] for each in steps[:: max(len(steps) // 20, 1)]],
        "gates": {str(layer): [round(float(g), 4) for g in gate] for layer, gate in run.model.gates().items()},
        "machine": machine(),
        "memory": {},
    }


def read_documents(corpus: Corpus) -> list[Document]:
    """The test documents that a cell is evaluated on."""
    if any(document.stream for document in corpus.test):
        return corpus.test
    long = [document for document in corpus.test if len(document.text) >= LEAST_CHARACTERS][:DOCUMENTS]
    if not long:
        raise Problem(f"corpus {corpus.name}: no test document of {LEAST_CHARACTERS:,} characters; add longer ones")
    return long


def _evaluated(run: Run, corpus: Corpus, size: int, progress: Progress) -> dict[str, Any]:
    documents = read_documents(corpus)

    def note(done: int, total: int) -> None:
        progress(f"evaluating {run.folder.name}, memory {size}", done, total, "tokens")

    found = evaluate(
        run.model,
        documents,
        run.tokenizer,
        (size,),
        rows=8 if documents[0].stream else len(documents),
        precision=run.config.train.precision,
        max_tokens=TOKENS // len(documents),
        on_progress=note,
    ).memory[size]
    return _kept(found)


def _kept(result: Result) -> dict[str, Any]:
    """Metrics, and for each document what intervals are made of: nats, tokens and bytes."""
    documents = result.documents if len(result.documents) > 1 else _blocks(result.documents[0])
    return {
        **{name: result.metrics[name] for name in ("nats_per_token", "perplexity", "bits_per_byte")},
        "documents": [
            [each.document, round(float(each.nats.sum(dtype=np.float64)), 3), len(each.nats), each.total_bytes]
            for each in documents
        ],
    }


def _blocks(scored: Scored) -> list[Scored]:
    """A stream in consecutive parts of equal length."""
    parts = np.array_split(np.arange(len(scored.nats)), min(BLOCKS, len(scored.nats)))
    return [
        replace(
            scored,
            document=f"{scored.document}/{i}",
            positions=scored.positions[part],
            nats=scored.nats[part],
            bytes=scored.bytes[part],
        )
        for i, part in enumerate(parts)
    ]
