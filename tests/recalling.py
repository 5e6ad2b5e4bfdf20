"""A model so small that it learns within seconds to recall a number that it has read four windows ago."""

import random

from mnemon.data import Document
from mnemon.studies.recall_training import RecallConfig

WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "store",
    "index",
    "field",
    "value",
    "count",
    "table",
    "merge",
    "query",
    "token",
]
CONFIG = RecallConfig.parse(
    {
        "host": {"dim": 48, "n_layers": 2, "n_heads": 2, "head_dim": 24, "vocab_size": 320, "window": 64},
        "memory": {
            **{"layers": [1], "merge": "gated", "gate": 0.75, "age": True, "value": "next"},
            **{"segment": 64, "overlap": 24, "top_k": 16},
        },
        "task": "passkey",
        "sharpness": 4.0,
        "lengths": [[4, 1]],
        "steps": 80,
        "sets": 6,
        "questions": 1,
        "lr": 0.01,
    },
    "the smallest",
)


def documents() -> list[Document]:
    """Texts of few words."""
    draw = random.Random(0)
    lines = [" ".join(draw.choice(WORDS) for _ in range(7)) + "\n" for _ in range(1200)]
    return [Document(str(at), "".join(lines[at::6])) for at in range(6)]
