"""What fixed pieces of work take, on every machine alike: `PYTHONPATH=tests python tests/golden/test_counts.py` writes
the counts anew.

Floating point operations of products, bytes of new tensors, calls of torch's library. What grows by more than a
twentieth fails; a change that makes something cheaper writes the counts anew, so that it stays so.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from mnemon.index import RingStore, exact, exact_search, kernel
from mnemon.model import MemoryState, ModelConfig, Transformer
from mnemon.recipes import recipe
from mnemon.studies.bench.counts import Counts, counted
from mnemon.studies.bench.standing import full_state, keys_alike, step, tokens
from mnemon.studies.bench.turns import one_thread

COUNTS = Path(__file__).with_name("counts.json")
MARGIN = 1.05
MEMORY, LANES = 4096, 2
DRAW = torch.Generator()


def config(name: str) -> ModelConfig:
    """A tiny recipe of two layers, the second with the memory, if there is one."""
    found = recipe(name).model.replace(vocab_size=256, n_layers=2)
    knn = found.pools.knn
    return found.replace(pools=found.pools.replace(knn=knn and knn.replace(layers=(1,), size=MEMORY)))


def training(model: Transformer, state: MemoryState) -> None:
    fed = tokens(model, DRAW, LANES, model.config.segment)
    output, update = model(fed, state)
    head: Any = model.head
    (head.nll(output.hidden, fed).mean() + output.penalty).backward()
    state.commit(update)


def remembering(model: Transformer, state: MemoryState) -> None:
    state.commit(model.remember(tokens(model, DRAW, LANES, model.config.segment), state))


def decoding(model: Transformer, state: MemoryState) -> None:
    with torch.no_grad():
        step(model, state, tokens(model, DRAW))


def writing(keys: torch.Tensor) -> None:
    store = RingStore.empty(LANES, 2, MEMORY, 64, torch.empty(0))
    for _ in range(2):
        store.write(keys, keys, torch.arange(512).expand(LANES, -1), torch.full((LANES,), 512))


def pieces() -> Iterator[tuple[str, Callable[[], object]]]:
    """Each piece of work by its name, ready to be done."""
    for name in ("vanilla", "transformer-xl", "all-attention", "memorizing", "memorizing-all-attention"):
        model = config(f"{name}-tiny").build()
        yield f"{name}: a training step", partial(training, model, full_state(model, MEMORY, rows=LANES))
    model = config("memorizing-tiny").build().eval()
    yield "memorizing: a token", partial(decoding, model, full_state(model, MEMORY))
    yield "memorizing: a remembered segment", partial(remembering, model, full_state(model, MEMORY, rows=LANES))
    q, keys = (keys_alike(1, 2, n, 64, DRAW) for n in (64, 8192))
    for dtype in (torch.float32, torch.bfloat16):
        yield f"a search in {str(dtype).removeprefix('torch.')}", partial(exact_search, q.to(dtype), keys.to(dtype), 32)
    yield "two segments written", partial(writing, keys_alike(LANES, 2, 512, 64, DRAW))


def counts() -> dict[str, Counts]:
    """On every machine by the same paths: those of a CPU with bfloat16 products, without the compiled search."""
    DRAW.manual_seed(0)
    alike = patch.object(exact, "rounds_fast", return_value=True), patch.object(kernel, "built", return_value=None)
    with one_thread(), alike[0], alike[1]:
        return {name: counted(act) for name, act in pieces()}


def grown(found: dict[str, Counts], recorded: dict[str, dict[str, int]]) -> list[str]:
    """What takes more than was recorded, in words."""
    return [
        f"{name}: {what} {recorded[name][what]:,} -> {count:,}"
        for name, each in found.items()
        for what, count in asdict(each).items()
        if count > MARGIN * recorded[name][what]
    ]


@pytest.fixture(scope="module")
def found() -> dict[str, Counts]:
    return counts()


def test_nothing_takes_more_than_was_recorded(found: dict[str, Counts]) -> None:
    recorded = json.loads(COUNTS.read_text())
    assert set(recorded) == set(found)
    assert grown(found, recorded) == []


def test_what_grows_is_told() -> None:
    assert grown({"a": Counts(106, 105, 10)}, {"a": {"operations": 100, "bytes": 100, "calls": 10}}) == [
        "a: operations 100 -> 106"
    ]


if __name__ == "__main__":
    COUNTS.write_text(json.dumps({name: asdict(each) for name, each in counts().items()}, indent=1) + "\n")
