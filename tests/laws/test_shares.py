"""The shares of the pools in a layer's output sum to one wherever anything is seen."""

import pytest
import torch

from kinds import MODELS
from models import awake, text


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", MODELS)
def test_shares_sum_to_one(name: str, dtype: torch.dtype) -> None:
    config = MODELS[name]
    model = awake(config, dtype)
    state = model.init_state(2)
    for told in range(3):
        output, update = model(text(2, 5, seed=told), state, inspect=True)
        state.commit(update)
        state.reset(torch.tensor([told == 1, False]))
        for layer, trace in enumerate(output.traces):
            total = torch.stack(list(trace.shares.values())).sum(0)
            assert all(bool((share >= -1e-6).all()) for share in trace.shares.values())
            first, later = total[..., 0], total[..., 1:]
            torch.testing.assert_close(later, torch.ones_like(later))
            vectors = config.pools.persistent
            if vectors and vectors.form == "head-split":
                half = first.shape[1] // 2
                torch.testing.assert_close(first[:, half:], torch.ones_like(first[:, half:]))
                first = first[:, :half]
            if config.attention.own_token or (vectors and vectors.form not in ("head-split", "ff-attn")):
                torch.testing.assert_close(first, torch.ones_like(first))
            elif told == 0:
                assert not bool(first.any()), "the first token of a document sees nothing"
            elif config.pools.cache:
                torch.testing.assert_close(first[1], torch.ones_like(first[1]))
            if config.pools.knn and layer in config.pools.knn.layers and told:
                assert bool((trace.shares["knn"] > 0).any())
