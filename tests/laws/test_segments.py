"""How a text is cut changes nothing: not the segments, where the cache covers the window, and not the calls."""

import pytest
import torch

from kinds import CACHED, FAITHFUL_MODELS, MODELS, REMEMBERING
from mnemon.model import MemoryState, Transformer
from models import SEGMENT, awake, read, text

WHOLE, RAGGED, SINGLE = [5, 5, 2], [2, 1, 2, 4, 1, 1, 1], [1] * 12
CACHE_ALONE = [name for name, config in CACHED.items() if not config.pools.knn]


@pytest.mark.parametrize("name", MODELS | FAITHFUL_MODELS)
def test_decoding_step_by_step_equals_reading_at_once(name: str) -> None:
    model, tokens = awake((MODELS | FAITHFUL_MODELS)[name]), text(2, 12)
    whole, single = (read(model, model.init_state(2), tokens, cuts) for cuts in (WHOLE, SINGLE))
    torch.testing.assert_close(single, whole)


@pytest.mark.parametrize("segment", [1, 3, 20])
@pytest.mark.parametrize("name", CACHE_ALONE)
def test_the_segment_makes_no_difference_where_the_cache_covers_the_window(name: str, segment: int) -> None:
    tokens = text(2, 17)
    plain, other = (awake(config) for config in (CACHED[name], CACHED[name].replace(segment=segment)))
    torch.testing.assert_close(read(other, other.init_state(2), tokens), read(plain, plain.init_state(2), tokens))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CACHE_ALONE)
def test_cuts_make_little_difference_in_low_precision(name: str, dtype: torch.dtype) -> None:
    model, tokens = awake(CACHED[name], dtype), text(2, 12)
    whole, ragged = (read(model, model.init_state(2), tokens, cuts).float() for cuts in (WHOLE, RAGGED))
    limit = 0.02 if dtype == torch.bfloat16 else 1e-5
    assert (whole - ragged).abs().mean() < limit * whole.abs().mean()


@pytest.mark.parametrize("name", MODELS)
def test_rows_of_different_lengths_read_as_each_would_alone(name: str) -> None:
    model, tokens = awake(MODELS[name]), text(3, 12)
    state, told = model.init_state(3), [0, 0, 0]
    found: list[list[torch.Tensor]] = [[], [], []]
    for lengths in ([3, 5, 0], [2, 0, 2], [3, 3, 1], [0, 2, 2], [2, 2, 0], [2, 0, 3], [0, 0, 2], [0, 0, 2]):
        piece = torch.full((3, max(lengths)), 7)  # padded with a token that must not matter
        for row, (length, first) in enumerate(zip(lengths, told, strict=True)):
            piece[row, :length] = tokens[row, first : first + length]
        output, update = model(piece, state, lengths=torch.tensor(lengths))
        state.commit(update)
        for row, length in enumerate(lengths):
            found[row].append(output.hidden[row, :length])
            told[row] += length
    assert state.position.tolist() == told == [12, 12, 12]
    expected = read(model, model.init_state(3), tokens)
    torch.testing.assert_close(torch.stack([torch.cat(pieces) for pieces in found]), expected)


@pytest.mark.parametrize("name", MODELS)
def test_a_document_that_ends_within_a_segment_makes_room_for_the_next(name: str) -> None:
    model, rest = awake(MODELS[name]), text(2, 7, seed=1)
    state = model.init_state(2)
    state.commit(model(text(2, 3), state)[1], ends=torch.tensor([True, False]))
    assert state.room() == 2
    state.reset(torch.tensor([True, True]))
    assert state.room() == SEGMENT
    torch.testing.assert_close(read(model, state, rest), read(model, model.init_state(2), rest))


def remember(model: Transformer, documents: list[torch.Tensor], cuts: list[int], told: bool) -> MemoryState:
    """A state that holds the documents; `told`: whether their ends are told, or follow from the reset."""
    state = model.init_state(1)
    for document in documents:
        state.reset(torch.tensor([True]), memory=False)
        for piece in document.split(cuts[: _pieces(cuts, document.shape[1])], dim=1):
            last = piece.data_ptr() == document[:, -piece.shape[1] :].data_ptr()
            state.commit(model(piece, state)[1], torch.tensor([True]) if told and last else None)
    state.reset(torch.tensor([True]), memory=False)
    return state


def _pieces(cuts: list[int], length: int) -> int:
    """How many of the cuts make up `length`."""
    return next(n for n in range(len(cuts) + 1) if sum(cuts[:n]) == length)


@pytest.mark.parametrize("name", REMEMBERING)
def test_a_collection_is_remembered_alike_however_it_was_cut(name: str) -> None:
    model = awake(REMEMBERING[name].replace(pools__knn__size=30, pools__knn__top_k=30))
    documents, question = [text(1, 7, seed=1), text(1, 6, seed=2)], text(1, 3, seed=3)
    states = [
        remember(model, documents, cuts, told)
        for cuts, told in (([5, 1, 1], True), ([1] * 7, False), ([3, 2, 1, 1], False))
    ]
    assert all(state.states[1]["knn"].store.written.tolist() == [13] for state in states)
    first, *others = (read(model, state, question) for state in states)
    for other in others:
        torch.testing.assert_close(other, first)
    assert not torch.allclose(first, read(model, model.init_state(1), question))
