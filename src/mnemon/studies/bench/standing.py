"""Models that stand in the middle of a long document, with a memory as full as it gets."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mnemon.config import Problem
from mnemon.index import find_store
from mnemon.model import MemoryState, Transformer
from mnemon.pools import KNNState
from mnemon.recipes import recipe

CROWDS = 1024
VOCABULARY = 1024  # where the recipe leaves it to the texts


def remembering_model(name: str, dtype: torch.dtype = torch.float32) -> Transformer:
    """The model of a recipe that has a kNN memory, with its start values, ready to be read with."""
    config = recipe(name).model
    if config.pools.knn is None:
        raise Problem(f"{name}: has no kNN memory to measure")
    return config.replace(vocab_size=config.vocab_size or VOCABULARY).build().to(dtype).eval()


def full_state(model: Transformer, size: int, index: str = "exact", rows: int = 1, seed: int = 0) -> MemoryState:
    """The state of rows behind a full window, with `size` entries in each memory: keys of `keys_alike`."""
    state = model.init_state(rows, size)
    draw = torch.Generator().manual_seed(seed)
    for layer in state.states:
        for name, pool in layer.items():
            if isinstance(pool, KNNState) and size:
                layer[name] = _filled(pool, model, rows, index, draw)
    with torch.no_grad():
        for _ in range(-(-model.config.window // model.config.segment)):
            step(model, state, tokens(model, draw, rows, model.config.segment))
    return state


def _filled(state: KNNState, model: Transformer, rows: int, index: str, draw: torch.Generator) -> KNNState:
    kind, config = find_store(index), model.config
    heads, size = config.pools.heads(config.n_heads), state.size
    like = next(model.parameters())
    store = kind.empty(rows, heads, size, config.head_dim, like)
    places = torch.arange(size).expand(rows, -1)
    keys = keys_alike(rows, heads, size, config.head_dim, draw).to(like)
    store.write(keys, keys, places, torch.full((rows,), size))
    return replace(state, kind=kind, store=store)


def keys_alike(rows: int, heads: int, n: int, dim: int, draw: torch.Generator) -> Tensor:
    """Random unit vectors [rows heads n dim] in crowds, as keys of a text are: each lies about one of 1024 centres.

    Its cosine with the centre is about 0.7. Vectors without any crowds are what `bench_recall` takes.
    """
    centres = functional.normalize(torch.randn(CROWDS, dim, generator=torch.Generator().manual_seed(7)), dim=-1)
    chosen = torch.randint(CROWDS, (rows, heads, n), generator=draw)
    noise = torch.randn(rows, heads, n, dim, generator=draw) / dim**0.5
    return functional.normalize(noise.add_(centres[chosen]), dim=-1)


def tokens(model: Transformer, draw: torch.Generator, rows: int = 1, length: int = 1) -> Tensor:
    """Random tokens."""
    return torch.randint(model.config.vocab_size, (rows, length), generator=draw)


def step(model: Transformer, state: MemoryState, fed: Tensor) -> None:
    """Feed tokens and have the logits that follow the last of them, as decoding does."""
    output, update = model(fed, state)
    head: Any = model.head
    head.logits(output.hidden[:, -1])
    state.commit(update)


def whole_numbers(said: str, flag: str, example: str) -> Sequence[int]:
    """The whole numbers of a flag, which have commas between; a `Problem` names the flag."""
    try:
        return [int(part) for part in said.split(",")]
    except ValueError:
        raise Problem(f"{flag} {said}: give whole numbers with commas between, such as {example}") from None
