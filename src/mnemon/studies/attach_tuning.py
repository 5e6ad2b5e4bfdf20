"""What an attached memory brings a host on unseen documents: as it is, and after short fine-tunings."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnemon.config import read_json, write_json
from mnemon.data import Corpus, Document, load_corpus
from mnemon.evaluate import Result, evaluate
from mnemon.evaluate.evaluation import MemorySource
from mnemon.hosts import HostModel, Learns, Memory, MemoryConfig, load_host
from mnemon.hosts.tokens import plain_tokenizer
from mnemon.studies.attach_host import DATA, TRAIN, WINDOW, train_host
from mnemon.studies.compare import compare, mean_over_seeds
from mnemon.studies.machine import machine
from mnemon.studies.runs import unseen
from mnemon.studies.workers import Progress
from mnemon.train.finetune import LEARN as BEST
from mnemon.train.finetune import FinetuneConfig, finetune, resume_finetune, tuning

Record = dict[str, Any]
DOCUMENTS, TOKENS = 8, 2048  # unseen ones evaluated, and tokens of each at most
SIZE = 8192
STEPS = 150
SIZES = {"segment": WINDOW, "overlap": WINDOW // 2, "size": SIZE, "clamp": WINDOW // 2}
READ, LEARN = MemoryConfig(positions="none", **SIZES), BEST.replace(**SIZES)
CONTROL = "all, without memory"


@dataclass(frozen=True)
class Tuned:
    """A way to fine-tune: what learns, and whether the memory is live."""

    learns: Learns
    remember: bool = True


TUNED = {
    "gates": Tuned("gates"),
    "queries": Tuned("queries"),
    "lora": Tuned("lora"),
    "all": Tuned("all"),
    CONTROL: Tuned("all", remember=False),
}


def attach_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    """Train a host without memory, attach one, and measure it on documents it has never seen. `minutes`: no matter."""
    corpus = load_corpus(DATA.source, DATA)
    documents = unseen(corpus)[:DOCUMENTS]
    host = _host(out, corpus, progress)
    plain = _read(load_host(host, **dict(READ)), documents, 0)
    found: dict[str, list[dict[str, Result]]] = {}
    seconds = {}
    for name, way in TUNED.items():
        for seed in seeds:
            folder = out / f"{name.replace(', ', '-').replace(' ', '-')}-seed{seed}"
            seconds[name] = _tune(folder, host, way, seed, corpus, progress)
            found.setdefault(name, []).append(_readings(folder, documents, way, progress))
    free = [_free(host, documents, plain, each, progress) for each in _ways()]
    return {
        "host": read_json(host / "training.json"),
        "steps": STEPS,
        "seeds": list(seeds),
        "memory": LEARN.model_dump(mode="json"),
        "plain": plain.metrics["bits_per_byte"],
        "free": free,
        "tuned": {name: _figures(each) for name, each in found.items()},
        "seconds": seconds,
        "comparisons": _claims(plain, found),
        "corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint, "evaluated": [d.id for d in documents]},
        "tokens": TOKENS,
        "environment": machine(),
    }


def _ways() -> list[MemoryConfig]:
    """Every merge, pairing and place of keys asked with queries; asked with keys, every merge and pairing."""
    pairs = [(merge, value) for merge in ("joint", "gated") for value in ("own", "next")]
    asked = [LEARN.replace(merge=merge, value=value) for merge, value in pairs]
    return asked + [
        READ.replace(merge=merge, value=value, positions=positions)
        for merge, value in pairs
        for positions in ("none", "first", "clamped", "original")
    ]


def _host(out: Path, corpus: Corpus, progress: Progress) -> Path:
    """The host's folder: trained now, where it is not there yet."""
    folder, begun = out / "host", time.process_time()
    if (folder / "training.json").exists():
        return folder
    last: dict[str, float] = {}

    def note(record: dict[str, float]) -> None:
        last.update(record)
        progress("training the host", int(record["step"]), TRAIN.steps, f"loss {record['loss']:.3f}")

    train_host(folder, corpus, TRAIN.steps, TRAIN.seed, note)
    config = read_json(folder / "config.json")
    named = {key: config[key] for key in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")}
    took = {"window": WINDOW, "steps": TRAIN.steps, "tokens": last["tokens"], "seconds": time.process_time() - begun}
    write_json(folder / "training.json", {**named, **took, "seed": TRAIN.seed})
    return folder


def _free(host: Path, documents: Sequence[Document], plain: Result, way: MemoryConfig, progress: Progress) -> Record:
    """One way to attach a memory without training: loss, and difference to the host alone."""
    said = {name: getattr(way, name) for name in ("asks", "merge", "value", "positions")}
    file = host.parent / "free" / f"{'-'.join(said.values())}.json"
    if not file.exists():
        progress("reading without training", 0, 1, ", ".join(said.values()))
        found = _read(load_host(host, **dict(way)), documents, SIZE)
        claim = compare("", "", found.documents, plain.documents)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {**said, "bits_per_byte": found.metrics["bits_per_byte"], **claim})
    read: Record = read_json(file)
    return read


def _tune(folder: Path, host: Path, way: Tuned, seed: int, corpus: Corpus, progress: Progress) -> float:
    """Fine-tune one way, or go on with it; seconds of one core that it took, as far as this call made it."""
    begun = time.process_time()

    def note(record: dict[str, float]) -> None:
        progress(f"tuning {folder.name}", int(record["step"]), STEPS, f"loss {record['loss']:.3f}")

    if (folder / "memory.json").exists():
        return float(read_json(folder / "seconds.json"))
    if (folder / "finetune.json").exists():
        resume_finetune(folder, corpus, note)
    else:
        finetune(_config(host, way, seed), folder, corpus, note)
    took = time.process_time() - begun
    write_json(folder / "seconds.json", took)
    return took


def _config(host: Path, way: Tuned, seed: int) -> FinetuneConfig:
    config = tuning(str(host), way.learns).replace(memory=LEARN, data=DATA, remember=way.remember)
    return config.replace(
        train__steps=STEPS,
        train__lanes=TRAIN.lanes,
        train__part=TRAIN.part,
        train__seed=seed,
        train__threads=1,
        train__device="cpu",
    )


def _readings(folder: Path, documents: Sequence[Document], way: Tuned, progress: Progress) -> dict[str, Result]:
    """A tuned host without memory, and where it has learnt with one: with the document's own, with another's."""
    progress(f"reading with {folder.name}", 0, 1, "")
    memory = load_host(folder)
    found = {"none": _read(memory, documents, 0)}
    if way.remember:
        found |= {"own": _read(memory, documents, SIZE), "other": _read(memory, documents, SIZE, "other")}
    return found


def _read(memory: Memory, documents: Sequence[Document], size: int, source: MemorySource = "own") -> Result:
    assert memory.tokenizer is not None
    tokenizer = plain_tokenizer(memory.tokenizer)
    found = evaluate(
        HostModel(memory), documents, tokenizer, (size,), DOCUMENTS, max_tokens=TOKENS, memory_source=source
    )
    return found.memory[size]


def _figures(found: Sequence[dict[str, Result]]) -> Record:
    """Bits per byte of each reading, seed by seed."""
    return {kind: [each[kind].metrics["bits_per_byte"] for each in found] for kind in found[0]}


def _claims(plain: Result, found: dict[str, list[dict[str, Result]]]) -> list[Record]:
    """What each fine-tuning brought, with intervals over documents."""
    means = {
        (name, kind): mean_over_seeds([each[kind].documents for each in several])
        for name, several in found.items()
        for kind in several[0]
    }
    claims = []
    for name, way in TUNED.items():
        if not way.remember:
            continue
        own, text = means[name, "own"], f"{name}: with its memory, a lower loss than "
        claims += [
            compare(name, text + "the host that was given none.", own, plain.documents),
            compare(name, text + "the same tuned host without it.", own, means[name, "none"]),
            compare(name, text + "with the memory of another document.", own, means[name, "other"]),
        ]
    claims.append(
        compare(
            "control",
            "all: with its memory, a lower loss than the host that learnt as long without one.",
            means["all", "own"],
            means[CONTROL, "none"],
        )
    )
    return claims
