import pytest
import torch

import kinds
from mnemon.model import rows_cut, rows_joined
from models import SEGMENT, awake, text


def read(model, state, tokens):  # type: ignore[no-untyped-def]
    """Hidden states of a text, of which the third row begins a new document after two segments."""
    found = []
    for at in range(0, tokens.shape[1], SEGMENT):
        state.reset(torch.arange(len(tokens)) == (2 if at == 2 * SEGMENT else -1))
        output, update = model(tokens[:, at : at + SEGMENT], state)
        state.commit(update)
        found.append(output.hidden)
    return torch.cat(found, dim=1)


NAMES = ["cache, knn; t5", "cache, next values; t5", "hidden cache, persistent, joint knn; t5"]
PLAIN = kinds.MIXED_MODELS["cache, knn; t5"]
STORES = ["faiss-flat", "host", "mmap", "slots", "slots:evict=lru,stored=int8"]
STORED = {name: PLAIN.replace(pools=PLAIN.pools.replace(knn=kinds.GATED.replace(index=name))) for name in STORES}
MODELS = {name: kinds.MIXED_MODELS[name] for name in NAMES} | STORED


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("first", [0, 1])
def test_rows_of_two_states_in_one_go_on_as_before(name: str, first: int) -> None:
    model, tokens = awake(MODELS[name]), text(5, 7 * SEGMENT)
    states = [model.init_state(2), model.init_state(3)]
    for state, rows in zip(states, (tokens[:2], tokens[2:]), strict=True):
        read(model, state, rows[:, : 4 * SEGMENT])
    joined, lost = rows_joined([state.tensors() for state in states])
    assert lost == []
    both = model.init_state(5 - first)
    both.load(rows_cut(joined, first, 5))
    expected = torch.cat(
        [read(model, s, t[:, -SEGMENT:]) for s, t in zip(states, (tokens[:2], tokens[2:]), strict=True)]
    )
    found = read(model, both, tokens[first:, -SEGMENT:])
    torch.testing.assert_close(found, expected[first:])
    assert both.position.tolist() == [*[5 * SEGMENT] * (4 - first), 3 * SEGMENT]


@pytest.mark.parametrize("name", ["cache, knn; t5", *STORES])
def test_a_state_that_has_read_less_joins_one_that_has_read_more(name: str) -> None:
    model, tokens = awake(MODELS[name]), text(2, 2 * SEGMENT)
    old, new = model.init_state(1), model.init_state(1)
    read(model, old, tokens[:1])
    both = model.init_state(2)
    joined, _ = rows_joined([old.tensors(), new.tensors()])
    both.load(joined)
    found = read(model, both, text(2, SEGMENT, seed=1))
    expected = torch.cat(
        [read(model, state, text(2, SEGMENT, seed=1)[i : i + 1]) for i, state in enumerate((old, new))]
    )
    torch.testing.assert_close(found, expected)


def test_a_store_whose_content_is_of_another_kind_is_named() -> None:
    part = {"position": torch.zeros(1, dtype=torch.long), "0.knn.store.collection": torch.zeros(3)}
    found, lost = rows_joined([part, part])
    assert lost == ["0.knn.store"]
    assert found.keys() == {"position"}
