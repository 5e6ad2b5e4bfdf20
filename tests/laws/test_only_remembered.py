"""Law: reading only to remember stores what reading stores, and what follows is the same."""

import pytest
import torch

from kinds import MODELS, REMEMBERING
from mnemon.model import ModelConfig
from models import SEGMENT, VOCABULARY


@pytest.mark.parametrize("config", REMEMBERING.values(), ids=REMEMBERING)
def test_what_is_only_remembered_is_stored_alike(config: ModelConfig) -> None:
    model = config.build(seed=1).double().eval()
    draw = torch.Generator().manual_seed(2)
    lengths = [torch.tensor([SEGMENT, 2]), torch.tensor([1, SEGMENT - 2])]
    read, remembered = model.init_state(2), model.init_state(2)
    starts, ends = torch.tensor([True, True]), torch.tensor([True, False])
    with torch.no_grad():
        for each in lengths:
            tokens = torch.randint(VOCABULARY, (2, SEGMENT), generator=draw)
            read.commit(model(tokens, read, each)[1], ends)
            remembered.commit(model.remember(tokens, remembered, each), ends)
        for state in (read, remembered):
            state.reset(starts, memory=False)
        tokens = torch.randint(VOCABULARY, (2, SEGMENT), generator=draw)
        wanted, found = (model(tokens, state)[0].hidden for state in (read, remembered))
    assert torch.equal(read.position, remembered.position)
    assert torch.allclose(wanted, found, atol=1e-9)


def test_a_model_without_a_memory_remembers_nothing() -> None:
    config = next(model for model in MODELS.values() if not model.pools.knn)
    model = config.build()
    with pytest.raises(ValueError, match="no kNN memory"):
        model.remember(torch.zeros(1, 1, dtype=torch.long), model.init_state(1))
