"""Small documents with made-up keys and values, and small texts: what the acts of the kit write."""

from dataclasses import replace

import torch
from torch import Tensor

from mnemon.memory import Document, Fingerprint

LAYERS, HEADS, DIM = (1, 3), 2, 6
FINGERPRINT = Fingerprint("small 0", "0", LAYERS, HEADS, DIM, "none", "float32")


def document(name: str, seed: int = 0, n: int = 9) -> Document:
    """`n` entries of a text that names the document; other seeds give other entries."""
    draw = torch.Generator().manual_seed(1000 * seed + n)
    text = f"What {name} says, number {seed}: " + "\u00e9" * n
    ends = torch.arange(1, n + 1)

    def vectors() -> dict[int, Tensor]:
        return {layer: torch.randn(HEADS, n, DIM, generator=draw) for layer in LAYERS}

    tokens, spans = torch.randint(1000, (n,), generator=draw), torch.stack([ends - 1, ends], -1)
    return Document(name, "", name, text, "2026-01-02T03:04:05Z", tokens, spans, ends - 1, vectors(), vectors())


def shorter(whole: Document, lost: int) -> Document:
    """The document without its oldest entries."""
    keys, values = ({at: x[:, lost:] for at, x in side.items()} for side in (whole.keys, whole.values))
    tokens, spans, positions = (x[lost:] for x in (whole.tokens, whole.spans, whole.positions))
    return replace(whole, tokens=tokens, spans=spans, positions=positions, keys=keys, values=values)


def text(number: int, version: int = 0) -> str:
    """A text of one or a few lines."""
    return f"Note {number}, version {version}: the pump at station {7 * number % 11} has two valves.\n" * (
        1 + number % 3
    )


def equal(a: Document, b: Document) -> bool:
    """Whether two documents are the same to the last bit; when they were read makes no difference."""
    facts = all(getattr(a, key) == getattr(b, key) for key in ("name", "namespace", "source", "text"))
    places = all(torch.equal(getattr(a, key), getattr(b, key)) for key in ("tokens", "spans", "positions"))
    pairs = [(a.keys, b.keys), (a.values, b.values)]
    return facts and places and all(set(x) == set(y) and all(torch.equal(x[at], y[at]) for at in x) for x, y in pairs)
