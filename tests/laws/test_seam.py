"""The seam is exact: a host whose past is remembered instead of cached computes what it would have with its cache."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from foreign import ATTENDED, FAMILIES, exact, foreign, tokens
from mnemon.hosts import attach
from mnemon.hosts.namespaces import Namespaces
from mnemon.hosts.seam import Found
from mnemon.hosts.support import FAMILIES as ROWS

PARTLY = ("mixed", "images", "hybrid")  # hosts in which not every layer has a memory
PAST, ALL = 11, 17  # tokens that are remembered, and in all
EXACT = {"top_k": 64, "size": 64, "positions": "original", "merge": "joint", "sees": "memory", "overlap": 0}


@dataclass
class CountedOn:
    """A source for a host that is told its positions: they go on after what is remembered already."""

    source: Namespaces

    @property
    def remembers(self) -> bool:
        return self.source.remembers

    @property
    def keeps(self) -> bool:
        return self.source.keeps

    def search(self, layer: int, q: Tensor) -> Sequence[Found]:
        return [replace(found, before=torch.zeros_like(found.before)) for found in self.source.search(layer, q)]

    def keep(self, layer: int, k: Tensor, v: Tensor) -> None:
        self.source.keep(layer, k, v)


@pytest.mark.parametrize(("name", "attention"), ATTENDED)
def test_a_remembered_past_is_a_cached_one(name: str, attention: str) -> None:
    # Layers with a sliding window, or with a state, have no memory: they keep their cache, and the others lose theirs.
    model = foreign(name, attention)
    ids = tokens(2, ALL)[:1]
    past = DynamicCache(config=model.config)
    with torch.no_grad():
        expected = model(ids, use_cache=False).logits[:, PAST:]
        model(ids[:, :PAST], past_key_values=past)
        memory = attach(model, layers="all", segment=PAST, **EXACT)
        memory.read(input_ids=ids[0, :PAST], document="past")
        for seam in memory.seams:
            seam.source = CountedOn(memory.source)  # absolute positions go on by themselves
            past.layers[seam.layer] = DynamicLayer()
        places = None if ROWS[model.config.model_type].places else torch.arange(PAST, ALL)[None]
        found = model(ids[:, PAST:], position_ids=places, past_key_values=past).logits
    assert len(memory.seams) == (2 if name.endswith(PARTLY) else 3)
    # Eager attention takes its softmax in float32, and some routers of experts their scores.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 if exact(name, attention) else 1e-5)


@pytest.mark.parametrize("name", [name for name in FAMILIES if not name.endswith((*PARTLY, "longrope"))])
def test_a_past_that_was_read_in_segments_is_a_full_context(name: str) -> None:
    attention = ("eager", "sdpa")[(name, "sdpa") in ATTENDED]
    model = foreign(name, attention)
    ids = tokens(1, ALL)
    with torch.no_grad():
        expected = model(ids).logits[:, PAST:]
        memory = attach(model, layers="all", segment=4, **EXACT)
        memory.read(input_ids=ids[0, :5], document="first")
        memory.read(input_ids=ids[0, 5:PAST], document="second")
        found = model(ids[:, PAST:]).logits
    # The cosine of a sum of positions is, in float32, not that of the sum of their angles.
    closeness = 1e-12 if ROWS[model.config.model_type].places else 1e-5
    torch.testing.assert_close(found, expected, rtol=0, atol=closeness)
