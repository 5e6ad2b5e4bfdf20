"""A memory that holds nothing changes nothing, bit for bit."""

import contextlib

import pytest
import torch

from kinds import REMEMBERING
from mnemon.model import MemoryState, Transformer
from models import awake, text

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "autocast": torch.float32}
GATED = [name for name, config in REMEMBERING.items() if config.pools.knn and config.pools.knn.merge == "gated"]


def without_memory(model: Transformer) -> Transformer:
    """The same weights in a model that was never given a memory."""
    config = model.config
    plain = config.replace(pools=config.pools.replace(knn=None)).build().to(model.embedding.table.dtype).eval()
    missing, gates = plain.load_state_dict(model.state_dict(), strict=False)
    assert missing == []
    assert all(name.endswith("gate") for name in gates)
    return plain


def used(model: Transformer, memory: int | None = None) -> MemoryState:
    """A state that has read two segments, of which row 0 has forgotten all."""
    state = model.init_state(2, memory)
    for piece in text(2, 10).split(5, dim=1):
        state.commit(model(piece, state)[1])
    state.reset(torch.tensor([True, False]))
    return state


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", REMEMBERING)
def test_an_empty_memory_changes_nothing(name: str, precision: str) -> None:
    model = awake(REMEMBERING[name], DTYPES[precision])
    plain, tokens = without_memory(model), text(2, 5, seed=1)
    # A joint merge needs the log-sum-exp, which the fused kernel does not give; inspection asks for it everywhere.
    inspect = name not in GATED
    casting = torch.autocast("cpu", torch.bfloat16) if precision == "autocast" else contextlib.nullcontext()
    with casting, torch.no_grad():
        never, none, nothing = (
            each(tokens, state, inspect=inspect)[0].hidden
            for each, state in (
                (model, model.init_state(2)),
                (model, model.init_state(2, memory=0)),
                (plain, plain.init_state(2)),
            )
        )
        assert torch.equal(never, nothing)
        assert torch.equal(none, nothing)
        forgot, none, nothing = (
            each(tokens, state, inspect=inspect)[0].hidden
            for each, state in ((model, used(model)), (model, used(model, memory=0)), (plain, used(plain)))
        )
        if name in GATED:
            assert torch.equal(none, nothing)
            assert torch.equal(forgot[0], nothing[0])
        assert torch.equal(forgot[0], none[0])
        assert not torch.equal(forgot[1], none[1]), "row 1 is meant to remember"


@pytest.mark.parametrize("name", GATED)
def test_the_gate_has_a_gradient_of_zero_where_the_memory_is_empty(name: str) -> None:
    model = awake(REMEMBERING[name])
    gate = model.blocks[1].attention.gate
    for memory in (0, None):
        gate.grad = None
        state = model.init_state(2, memory)
        model(text(2, 5), state)[0].hidden.square().sum().backward()
        assert gate.grad is not None
        assert not bool(gate.grad.any())
    state.commit(model(text(2, 5), state)[1])
    model(text(2, 5), state)[0].hidden.square().sum().backward()
    assert bool(gate.grad.all())
