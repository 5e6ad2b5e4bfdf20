from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from mnemon.cli import say
from mnemon.cli.flags import parse
from mnemon.cli.progress import Phases
from mnemon.config import Problem
from mnemon.data import Corpus, DataConfig, Document, load_corpus
from mnemon.evaluate import Evaluation, evaluate, memory_sizes
from mnemon.model import widened
from mnemon.train import load_run
from mnemon.train.run import pick_device

PROG = "mnemon eval"


@dataclass(frozen=True, kw_only=True)
class Eval:
    """Loss of a run on documents that it reads from beginning to end, for several memory sizes."""

    run: Positional[Path]
    """run folder"""
    data: str | None = None
    """what to read, as in train (default: what the run was trained on)"""
    split: Literal["test", "valid", "train", "all"] = "test"
    """which of its documents"""
    memory: str | None = None
    """entries of the memory, with commas between (default: 0,512,2048,8192, or 0 without a memory)"""
    memory_source: Literal["own", "other", "shuffled"] = "own"
    """controls: other reads each document with another one's memory, shuffled with its own values under wrong keys"""
    window: int | None = None
    """previous tokens that every token sees, and that the cache keeps (default: as trained)"""
    segment: int | None = None
    """tokens fed at once (default: as trained)"""
    clamp: int | None = None
    """furthest distance told apart by Transformer-XL positions (default: as trained)"""
    store: str | None = None
    """where the memory lies and what searches it, as in --model.pools.knn.index (default: as trained)"""
    rows: int = 8
    """documents read side by side"""
    max_documents: int | None = None
    """read at most so many documents"""
    max_tokens: int | None = None
    """read at most so many tokens of each"""
    download: bool = False
    """fetch the data set, named without a path"""
    partial: bool = False
    """take an incomplete copy of a known data set"""
    strict: bool = False
    """a file that is no UTF-8 text is an error, not skipped"""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """where to compute"""
    json: bool = False
    """print one JSON value"""


def run(words: list[str]) -> None:
    command = parse(Eval, words, PROG)
    wanted = None if command.memory is None else _numbers(command.memory)
    trained = load_run(command.run, str(pick_device(command.device)))
    model = widened(trained.model, command.window, command.segment, command.clamp, command.store)
    memory = memory_sizes(model, wanted)  # before texts are read, which may take long
    corpus = _corpus(command, trained.config.data)
    documents = _documents(corpus, command.split)
    with Phases() as show:
        found = evaluate(
            model,
            documents,
            trained.tokenizer,
            memory,
            rows=command.rows,
            precision=trained.config.train.precision,
            max_tokens=command.max_tokens,
            memory_source=command.memory_source,
            on_progress=lambda done, total: show("evaluating", done, total, "tokens"),
        )
    say.result(found.as_json(), command.json, lambda: _text(found) + say.skipped(corpus.skipped))


def _corpus(command: Eval, trained: DataConfig) -> Corpus:
    """What to read: what the run was trained on, or other texts, as it was read then."""
    wanted: dict[str, Any] = {name: True for name in ("strict", "partial") if getattr(command, name)}
    if command.max_documents is not None:
        wanted["max_documents"] = command.max_documents
    if command.data is None:
        return load_corpus(trained.source, trained.replace(**wanted))
    return load_corpus(command.data, trained.replace(**wanted, download=command.download))


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise Problem(f"--memory {text}: give whole numbers with commas between, such as 0,512,8192") from None


def _documents(corpus: Corpus, split: str) -> list[Document]:
    documents = corpus.documents if split == "all" else corpus.split(split)
    if not documents:
        raise Problem(f"{corpus.name}: no documents in split {split!r}; --split all reads every document")
    return documents


def _text(found: Evaluation) -> str:
    """One table over memory sizes, one over positions in the document."""
    results = found.as_json()["memory"]
    columns = {"nats/token": "nats_per_token", "perplexity": "perplexity", "bits/byte": "bits_per_byte"}
    if all(each["perplexity_without_eos"] not in (None, each["perplexity"]) for each in results.values()):
        columns["perplexity without <eos>"] = "perplexity_without_eos"
    rows = [(size, *(f"{each[name]:.4f}" for name in columns.values())) for size, each in results.items()]
    bins = zip(*(each["by_position"] for each in results.values()), strict=True)
    positions = [
        (f"{same[0]['from']}-{same[0]['to'] - 1}", *(f"{each['bits_per_byte']:.4f}" for each in same)) for same in bins
    ]
    return "\n".join(
        [
            say.table([("memory", *columns), *rows], left=0),
            "",
            "bits/byte by position in the document",
            say.table([("tokens", *(f"memory {size}" for size in results)), *positions], left=0),
            "",
            f"{found.tokens:,} tokens, {found.bytes:,} bytes",
        ]
    )
