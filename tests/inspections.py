"""Inspections to show: a real one of a small model, and one as large as they come."""

import random
from typing import Any

import torch

import tiny
from mnemon.data import Document
from mnemon.data.byte_tokens import Bytes
from mnemon.data.document import joined
from mnemon.evaluate import Inspection, inspect

HOSTILE = "</script><script>alert(1)</script> <b>&amp; “é” \u2028 $x$ {{ 7*7 }}\n"


def small(kind: str = "memorizing") -> Inspection:
    """Of a document of two files with names that mean something to HTML, templates and scripts."""
    model = tiny.model(kind).build(seed=3)
    for block in model.blocks:
        if block.attention.gate is not None:
            block.attention.gate.data.copy_(torch.tensor([0.5, -1.0]))
    text = HOSTILE + "def alpha_one(beta):\n    return alpha_one(beta)\n"
    document = joined("<i>doc</i>", [("a<b>.py", text), ("c.py", 2 * text)])
    return inspect(model, document, Bytes(), Document("other", tiny.text(2, 8)))


def large(count: int = 12_288) -> dict[str, Any]:
    """JSON of an inspection of so many tokens, its figures drawn at random."""
    draw = random.Random(0)
    words = [f"{draw.choice(['name', 'value', 'item'])}_{i}" for i in range(300)]
    start, end, line, text = [], [], [], ""
    while len(start) < count:
        word = draw.choice([" " + draw.choice(words), " =", "(", ")", "\n    "])
        start.append(len(text))
        line.append(text.count("\n") + 1)
        text += word
        end.append(len(text))
    found = [
        [[draw.randrange(i), draw.randrange(2), 0.3 / (k + 1), 0.1] for k in range(8)] if i > 64 else []
        for i in range(count)
    ]
    nats = {
        name: [round(draw.expovariate(0.5), 3) for _ in range(count)]
        for name in ("memory", "none", "shuffled", "other")
    }
    tokens = {
        "start": start,
        "end": end,
        "file": [0] * count,
        "line": line,
        "kind": [draw.randrange(6) for _ in range(count)],
    }
    values = small().as_json()
    heads = [head for head in values["heads"] if head["gate"] is not None]
    return {
        **values,
        "run": "large",
        "text": text,
        "files": ["large"],
        "heads": heads,
        "tokens": {**tokens, "nats": nats, "found": found},
    }
