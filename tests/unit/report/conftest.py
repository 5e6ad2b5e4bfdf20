import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def values() -> dict[str, Any]:
    """Results as a demo writes them; the numbers are made up."""
    return json.loads(Path(__file__).with_name("example.json").read_text(encoding="utf-8"))


@pytest.fixture
def bare() -> dict[str, Any]:
    """The least that is a result: one model, one loss."""
    model = {"params": 10, "tokens": 20, "seeds": [0], "bits_per_byte": {"0": 2.5}}
    corpus = {"name": "folder", "fingerprint": "f00", "documents": {"test": 1}, "bytes": {"test": 9}}
    return {"format": 1, "models": {"vanilla": model}, "corpus": corpus}
