"""A host to which an empty memory is attached computes what it did, and after `detach` it is what it was."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from foreign import ATTENDED, exact, foreign, tokens
from mnemon.hosts import attach, detach
from mnemon.hosts.config import Positions

DTYPES = [torch.float32, torch.bfloat16]


def logits(model: PreTrainedModel, ids: Tensor) -> list[Tensor]:
    """Of one forward without cache; with a cache, of a prompt and of a token after it."""
    with torch.no_grad():
        return [model(ids, use_cache=False).logits, *stepped(model, ids, [6, 1])]


def stepped(model: PreTrainedModel, ids: Tensor, lengths: list[int]) -> list[Tensor]:
    """The logits of tokens that come in pieces of these lengths, with a cache."""
    cache = DynamicCache(config=model.config)
    return [model(piece, past_key_values=cache).logits for piece in ids.split(lengths, dim=1)]


def facts(model: PreTrainedModel) -> dict[str, Any]:
    """All that a host is, apart from its weights' values."""
    found: dict[str, Any] = {"weights": list(model.state_dict()), "config": model.config.to_dict()}
    for name, module in model.named_modules():
        kept = vars(module)
        hooks = {key: list(value) for key, value in kept.items() if key.endswith("_hooks")}
        found[name] = (sorted(kept), list(kept["_modules"]), hooks, id(getattr(module, "config", None)))
    return found


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("name", "attention"), ATTENDED)
def test_an_empty_memory_changes_nothing_and_neither_does_detaching(
    name: str, attention: str, dtype: torch.dtype
) -> None:
    model = foreign(name, attention, dtype)
    ids = tokens(2, 7)
    alone, before = logits(model, ids), facts(model)  # a host may compute angles at its first call, and keep them
    assert all(bool(each.isfinite().all()) for each in alone)
    memory = attach(model, layers="all")
    assert all(map(torch.equal, logits(model, ids), alone))
    memory.read(input_ids=tokens(1, 5)[0], document="read")
    with torch.no_grad():
        assert not torch.equal(model(ids, use_cache=False).logits, alone[0])
    detach(model)
    assert all(map(torch.equal, logits(model, ids), alone))
    assert facts(model) == before


@pytest.mark.parametrize(
    ("name", "attention", "positions"),
    [(*each, "none") for each in ATTENDED]
    + [
        (name, "sdpa", positions)
        for name in ("llama, yarn", "glm", "gpt2", "gemma3, mixed", "smollm3")
        for positions in get_args(Positions)
    ],
)
def test_generating_step_by_step_is_one_forward_with_the_same_memory(
    name: str, attention: str, positions: Positions
) -> None:
    model = foreign(name, attention)
    memory = attach(model, layers="all", top_k=3, positions=positions, clamp=4)
    memory.read(input_ids=tokens(1, 9, seed=3)[0], document="one")
    memory.read(input_ids=tokens(1, 6, seed=4)[0], document="two")
    ids = tokens(2, 8)
    with torch.no_grad():
        whole = model(ids).logits
        pieces = torch.cat(stepped(model, ids, [3, 1, 1, 2, 1]), dim=1)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-12 if exact(name, attention) else 1e-5)
