"""Fine-tunings of a host by one rank and by two, and continued by others: `python finetunes.py FOLDER` prints JSON."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

import ranked
import tiny
from mnemon.data import Corpus, Document
from mnemon.hosts import Learns, LoraConfig, MemoryConfig
from mnemon.train import read_records
from mnemon.train.checkpoint import saved_steps
from mnemon.train.config import Parallel
from mnemon.train.finetune import FinetuneConfig, finetune, resume_finetune, tuning
from readers import byte_tokenizer, llama

KINDS: dict[str, tuple[Learns, dict[str, Any]]] = {
    "queries": ("queries", {"persistent": 3, "equal_start": 2.0, "train__save_beside": True}),
    "lora": ("lora", {"lora": LoraConfig(rank=2)}),
    "all": ("all", {"checkpointing": True, "train__accumulate": 2}),
}
WAYS: list[tuple[int, Parallel]] = [(1, "auto"), (2, "ddp"), (2, "fsdp")]
CHANGES: list[tuple[str, int, Parallel, int, Parallel]] = [  # kind, ranks and way before, and after
    ("queries", 1, "auto", 2, "fsdp"),
    ("lora", 2, "fsdp", 1, "auto"),
    ("all", 2, "ddp", 1, "auto"),
]


def corpus() -> Corpus:
    documents = [Document(f"d{number}", tiny.text(number, 2 + 3 * number % 7)) for number in range(7)]
    return Corpus("tiny", documents, documents[:1], documents[:1], {}, "0123")


def config(folder: Path, kind: str, parallel: Parallel) -> FinetuneConfig:
    """Memories wrap; a document ends in some lanes while it goes on in others."""
    learns, changes = KINDS[kind]
    memory = MemoryConfig(merge="gated", layers=(1,), size=60, top_k=4, segment=24, overlap=8, value="next")
    settings = {"steps": 8, "lanes": 4, "checkpoint_every": 6, "precision": "float32", "warmup": 0, "device": "cpu"}
    train = {f"train__{name}": value for name, value in settings.items()}
    values = {"memory": memory, **train, "train__threads": 1, "train__parallel": parallel, **changes}
    return tuning(str(folder / "host"), learns).replace(**values)


def tied() -> LlamaForCausalLM:
    """A host whose head is its embedding."""
    model = llama(dtype=torch.float32)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    return model


def found(out: Path) -> dict[str, Any]:
    """The losses of a fine-tuning, and a number that tells what weights it has left behind."""
    weights = {name: t for file in sorted(out.glob("*.safetensors")) for name, t in load_file(file).items()}
    sums = {name: float(t.double().square().sum()) for name, t in sorted(weights.items())}
    return {"losses": [record["loss"] for record in read_records(out)], "weights": sums}


def told(folder: Path) -> dict[str, dict[str, Any]]:
    """By kind and way, what came of it."""
    tied().save_pretrained(folder / "host")
    byte_tokenizer().save_pretrained(folder / "host")
    told: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for kind in KINDS:
        for ranks, way in WAYS:
            out = folder / f"{kind}, {ranks} {way}"
            job = lambda kind=kind, way=way, out=out: finetune(config(folder, kind, way), out, corpus())  # noqa: E731
            assert ranked.forked(ranks, job) == [0] * ranks
            told[kind][f"{ranks} {way}"] = found(out)
    for kind, ranks, way, after, then in CHANGES:
        out = folder / f"{kind}, {ranks} {way}, {after} {then}"
        shutil.copytree(folder / f"{kind}, {ranks} {way}", out)
        shutil.rmtree(out / "checkpoints" / f"step-{saved_steps(out / 'checkpoints')[0]}")
        parallel = "ddp" if then == "auto" else then
        job = lambda out=out, parallel=parallel: resume_finetune(out, corpus(), parallel=parallel)  # noqa: E731
        assert ranked.forked(after, job) == [0] * after
        told[kind][out.name] = found(out)
    return told


if __name__ == "__main__":
    print(json.dumps(told(Path(sys.argv[1]))))
