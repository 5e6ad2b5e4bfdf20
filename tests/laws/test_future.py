"""No token sees what comes after it."""

import pytest
import torch

from kinds import ALL_MODELS, MODELS
from models import VOCABULARY, awake, read, text

PLACES = (3, 5, 12)  # one token changes in each row


def changed(tokens: torch.Tensor) -> torch.Tensor:
    other = tokens.clone()
    for row, place in enumerate(PLACES):
        other[row, place] = (other[row, place] + 1) % VOCABULARY
    return other


@pytest.mark.parametrize("name", ALL_MODELS)
def test_a_later_token_changes_nothing_before_it_and_something_behind(name: str) -> None:
    config = ALL_MODELS[name]
    model, tokens = awake(config), text(3, 15)
    plain, found = (read(model, model.init_state(3), x) for x in (tokens, changed(tokens)))
    for row, place in enumerate(PLACES):
        torch.testing.assert_close(found[row, :place], plain[row, :place], rtol=0, atol=1e-12)
        differs = [not torch.allclose(a, b) for a, b in zip(found[row, place:], plain[row, place:], strict=True)]
        assert all(differs[: 5 - place % 5]), "a token is seen in all of its own segment"
        assert any(differs[5 - place % 5 :]) == bool(place < 10 and (config.pools.cache or config.pools.knn))


@pytest.mark.parametrize("name", [name for name, config in MODELS.items() if config.embedding.kind == "plain"])
def test_a_later_token_changes_no_bit_before_it_in_bfloat16(name: str) -> None:
    model, tokens = awake(MODELS[name], torch.bfloat16), text(3, 15)
    plain, found = (read(model, model.init_state(3), x) for x in (tokens, changed(tokens)))
    for row, place in enumerate(PLACES):
        assert torch.equal(found[row, :place], plain[row, :place])
        assert not torch.equal(found[row, place], plain[row, place])
