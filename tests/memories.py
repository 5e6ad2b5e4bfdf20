"""Small documents and what they belong to, for tests of what is kept on the disk."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mnemon.memory import Document, Fingerprint, save

LAYERS, HEADS, DIM = (3, 10), 2, 5
FINGERPRINT = Fingerprint("llama 1f3a", "77b0", LAYERS, HEADS, DIM, "none", "float32")


def fingerprint(dtype: str) -> Fingerprint:
    return replace(FINGERPRINT, dtype=dtype)


def document(name: str, n: int = 7, seed: int = 0, namespace: str = "", dtype: torch.dtype = torch.float32) -> Document:
    """`n` random entries of a text that names the document; other seeds give other entries."""
    draw = torch.Generator().manual_seed(seed)
    text = f"What {name} says: \u00e9\u4e2d, " + "x" * n
    ends = torch.arange(1, n + 1)

    def vectors() -> dict[int, Tensor]:
        return {layer: torch.randn(HEADS, n, DIM, generator=draw).to(dtype) for layer in LAYERS}

    tokens = torch.randint(1000, (n,), generator=draw)
    spans = torch.stack([ends - 1, ends], -1)
    return Document(
        name, namespace, f"{name}.txt", text, "2026-01-02T03:04:05Z", tokens, spans, ends, vectors(), vectors()
    )


def equal(a: Document, b: Document) -> bool:
    """Whether two documents are the same to the last bit."""
    facts = all(getattr(a, key) == getattr(b, key) for key in ("name", "namespace", "source", "text", "time"))
    places = all(torch.equal(getattr(a, key), getattr(b, key)) for key in ("tokens", "spans", "positions"))
    pairs = [(a.keys, b.keys), (a.values, b.values)]
    layers = all(set(x) == set(y) and all(torch.equal(x[layer], y[layer]) for layer in x) for x, y in pairs)
    return facts and places and layers


def saved(folder: Path, names: Iterable[str] = ("one", "two"), precision: str | None = None) -> Path:
    """A memory with these documents, each of other content."""
    save(folder, [document(name, seed=seed) for seed, name in enumerate(names)], FINGERPRINT, precision)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """All that a folder holds, but the lock."""
    return {name: (folder / name).read_bytes() for name in sorted(os.listdir(folder)) if name != ".lock"}
