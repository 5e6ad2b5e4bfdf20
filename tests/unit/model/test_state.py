from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mnemon.config import Problem
from mnemon.model import MemoryState, ModelConfig, Transformer
from mnemon.pools import CacheConfig, KNNConfig, PersistentConfig, PoolsConfig
from models import awake, read, same, small, text

POOLS = PoolsConfig(cache=CacheConfig(), persistent=PersistentConfig(n=6), knn=KNNConfig(layers=(1,), size=9, top_k=3))


@pytest.fixture
def model() -> Transformer:
    return awake(small(pools=POOLS))


def feed(model: Transformer, state: MemoryState, lengths: list[int], ends: list[bool] | None = None) -> None:
    t = max(1, *lengths)
    _, update = model(text(len(lengths), t), state, lengths=torch.tensor(lengths))
    state.commit(update, None if ends is None else torch.tensor(ends))


def test_room_ends_at_the_first_row_s_segment_boundary(model: Transformer) -> None:
    state = model.init_state(3)
    assert state.room() == 5
    feed(model, state, [2, 0, 1])
    assert (state.position.tolist(), state.phase.tolist(), state.room()) == ([2, 0, 1], [2, 0, 1], 3)
    feed(model, state, [3, 3, 3])
    assert (state.position.tolist(), state.phase.tolist(), state.room()) == ([5, 3, 4], [0, 3, 4], 1)
    feed(model, state, [1, 1, 1], ends=[False, True, False])
    assert (state.position.tolist(), state.phase.tolist(), state.room()) == ([6, 4, 5], [1, 0, 0], 4)


def test_a_call_beyond_the_boundary_says_how_much_there_is_room_for(model: Transformer) -> None:
    state = model.init_state(2)
    feed(model, state, [2, 1])
    with pytest.raises(ValueError, match="4 tokens cross a segment boundary: feed at most 3"):
        model(text(2, 4), state)


def test_an_update_is_committed_once(model: Transformer) -> None:
    state = model.init_state(2)
    _, update = model(text(2, 5), state)
    state.commit(update)
    with pytest.raises(ValueError, match="another state, or committed before"):
        state.commit(update)
    assert state.position.tolist() == [5, 5]


def test_an_update_of_another_moment_is_refused(model: Transformer) -> None:
    state = model.init_state(2)
    feed(model, state, [5, 5])
    _, update = model(text(2, 5), state)
    state.reset(torch.tensor([True, False]))
    with pytest.raises(ValueError, match="another state"):
        state.commit(update)


def test_reset_starts_rows_again_and_no_others(model: Transformer) -> None:
    state = model.init_state(2)
    feed(model, state, [3, 2])
    state.reset(torch.tensor([True, False]))
    assert (state.position.tolist(), state.phase.tolist()) == ([0, 2], [0, 2])


def test_a_reset_of_no_row_does_nothing(model: Transformer) -> None:
    state = model.init_state(2)
    feed(model, state, [3, 2])
    before = state.tensors()
    state.reset(torch.tensor([False, False]))
    assert same(state.tensors(), before)


def test_a_reset_that_keeps_the_memory_keeps_counting(model: Transformer) -> None:
    state = model.init_state(2)
    feed(model, state, [3, 2])
    state.reset(torch.tensor([True, False]), memory=False)
    assert (state.position.tolist(), state.phase.tolist()) == ([3, 2], [0, 2])


def test_a_commit_may_leave_the_memory_as_it_is(model: Transformer) -> None:
    state = model.init_state(2)
    feed(model, state, [5, 5])
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    _, update = model(text(2, 5, seed=1), state)
    state.commit(update, memory=False)
    after = state.tensors()
    assert same(*({name: x for name, x in held.items() if ".knn." in name} for held in (after, before)))
    assert not torch.equal(after["0.cache.k"], before["0.cache.k"])
    assert state.position.tolist() == [10, 10]


def test_only_models_with_a_memory_remember(model: Transformer) -> None:
    assert model.init_state(1).remembers
    assert not small().build().init_state(1).remembers


def test_select_chooses_rows_and_their_counters(model: Transformer) -> None:
    state = model.init_state(2)
    feed(model, state, [3, 2])
    state.select(torch.tensor([1, 0, 1]))
    assert (state.rows, state.position.tolist(), state.phase.tolist()) == (3, [2, 3, 2], [2, 3, 2])


def test_a_state_survives_a_file_and_continues_as_it_was(model: Transformer, tmp_path: Path) -> None:
    for told in (0, 1, 7, 12):
        state = model.init_state(2)
        if told:
            read(model, state, text(2, told))
        save_file(state.tensors(), tmp_path / "state")
        loaded = model.init_state(2)
        loaded.load(load_file(tmp_path / "state"))
        assert loaded.room() == state.room()
        rest = text(2, 9, seed=1)
        assert torch.equal(read(model, loaded, rest), read(model, state, rest))


def test_a_loaded_state_lies_where_the_model_computes_but_for_its_counters(model: Transformer) -> None:
    state, other = model.init_state(2), model.init_state(2)
    feed(model, state, [5, 5])
    other.load(state.tensors(), torch.device("meta"))
    for name, tensor in other.tensors().items():
        assert tensor.device.type == ("cpu" if tensor.ndim == 1 else "meta"), name
    assert other.position.tolist() == [5, 5]


def test_a_loaded_state_replaces_what_was_there(model: Transformer) -> None:
    state, used = model.init_state(2), model.init_state(2)
    read(model, used, text(2, 12))
    used.load(state.tensors())
    rest = text(2, 9, seed=1)
    assert torch.equal(read(model, used, rest), read(model, model.init_state(2), rest))


@pytest.mark.parametrize(
    "other",
    [small(), small(pools=POOLS, n_layers=3), small(pools=PoolsConfig(cache=CacheConfig(stores="hidden")))],
    ids=["no pools", "more layers", "another cache"],
)
def test_the_memory_of_another_model_is_a_problem(model: Transformer, other: ModelConfig) -> None:
    foreign = other.build()
    state = model.init_state(2)
    read(model, state, text(2, 7))
    before = state.tensors()
    with pytest.raises(Problem, match="belongs to another model"):
        state.load(foreign.init_state(2).tensors())
    assert same(state.tensors(), before), "it is left as it was"


def test_a_shuffled_state_is_read_and_the_true_one_written(model: Transformer) -> None:
    state = model.init_state(2)
    feed(model, state, [5, 5])
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    own, update = model(text(2, 5, seed=1), state)
    mixed, _ = model(text(2, 5, seed=1), state.shuffled(seed=0))
    assert not torch.equal(own.hidden, mixed.hidden)
    assert same(state.tensors(), before)
    state.commit(update)
    assert state.position.tolist() == [10, 10]


def test_a_state_without_a_memory_is_not_changed_by_shuffling() -> None:
    plain = awake(small(pools=PoolsConfig(cache=CacheConfig())))
    state = plain.init_state(2)
    read(plain, state, text(2, 7))
    assert same(state.shuffled(seed=0).tensors(), state.tensors())


def test_a_copied_state_remembers_the_same_and_is_its_own(model: Transformer) -> None:
    state = model.init_state(2)
    feed(model, state, [5, 3])
    twin = state.copied()
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    assert same(twin.tensors(), before)
    feed(model, twin, [5, 2])
    assert same(state.tensors(), before)
    assert not same(twin.tensors(), before)


def test_rows_are_fed_up_to_their_own_boundaries(model: Transformer) -> None:
    state, tokens = model.init_state(2), text(2, 5)
    feed(model, state, [4, 0])
    output, _ = model(tokens, state, lengths=torch.tensor([1, 5]))
    alone = read(model, model.init_state(1), tokens[1:])
    torch.testing.assert_close(output.hidden[1:], alone)
    with pytest.raises(ValueError, match="cross a segment boundary"):
        model(tokens, state, lengths=torch.tensor([2, 5]))
