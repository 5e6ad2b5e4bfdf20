from typing import Any

import pytest
import torch
from torch import Tensor

import mnemon
from foreign import foreign
from mnemon.config import Problem
from mnemon.hosts.lanes import LaneMemory
from readers import llama, tokens

SEGMENT, ROWS = 5, 3
POSITIONS = ("none", "first", "clamped", "original")


def steps(ids: Tensor, segment: int = SEGMENT) -> list[Tensor]:
    return list(ids.split(segment, dim=1))


def read(lanes: LaneMemory, ids: Tensor, first: bool = True, segment: int = SEGMENT) -> list[Tensor]:
    """Logits of all rows, segment by segment, with the memory live."""
    found = []
    with lanes.live(), torch.no_grad():
        for at, piece in enumerate(steps(ids, segment)):
            rows, length = piece.shape
            lanes.begin(torch.full((rows,), first and at == 0))
            found.append(lanes.memory.model(piece).logits)
            lanes.commit(torch.full((rows,), length))
    return found


def attached(**settings: Any) -> mnemon.Memory:
    return mnemon.attach(llama(), **{"layers": "all", "segment": SEGMENT, "overlap": 0, **settings})


@pytest.mark.parametrize("sees", ["document", "memory"])
@pytest.mark.parametrize("value", ["own", "next"])
@pytest.mark.parametrize("positions", ["none", "original"])
def test_a_lane_remembers_what_reading_the_same_text_remembers(sees: str, value: str, positions: str) -> None:
    top_k = 4 if value == "own" else 32  # the first two of the shifted keys are equal: a tie that a few would cut
    memory, ids = attached(sees=sees, value=value, positions=positions, top_k=top_k), tokens(1, 23)
    memory.read(input_ids=ids, document="a")
    (document,) = memory.documents
    lanes = LaneMemory(memory, 1)
    read(lanes, ids)
    held = lanes.tensors()
    for layer in memory.layers:
        torch.testing.assert_close(held[f"{layer}.store.keys"][0, :, :23], document.keys[layer])
        torch.testing.assert_close(held[f"{layer}.store.values"][0, :, :23], document.values[layer])
    assert held["1.store.positions"][0, :23].tolist() == document.positions.tolist()


@pytest.mark.parametrize("merge", ["joint", "gated"])
@pytest.mark.parametrize("positions", POSITIONS)
def test_lanes_answer_as_a_memory_that_has_read_the_same(merge: str, positions: str) -> None:
    settings = {"merge": merge, "positions": positions, "top_k": 4, "age": True}
    memory, ids = attached(sees="document", **settings), tokens(1, 15)
    with torch.no_grad():
        for layer in memory.layers:
            memory.model.get_submodule(f"model.layers.{layer}.self_attn.memory_gate").slope.add_(0.3)
    memory.read(input_ids=ids[:, :10], document="a")
    with torch.no_grad():
        expected = memory.model(ids[:, 10:]).logits
    torch.testing.assert_close(read(LaneMemory(memory, 1), ids)[2], expected)


@pytest.mark.parametrize("name", ["qwen3", "gemma2, mixed", "gpt2", "cohere", "phi3", "smollm3", "gpt_neox"])
def test_lanes_of_any_family_remember_what_reading_remembers(name: str) -> None:
    memory = mnemon.attach(foreign(name, "eager"), layers="all", segment=5, overlap=0, sees="document", top_k=32)
    lanes, ids = LaneMemory(memory, 1), torch.randint(3, 61, (1, 13), generator=torch.Generator().manual_seed(1))
    memory.read(input_ids=ids, document="a")
    read(lanes, ids)
    (document,), held = memory.documents, lanes.tensors()
    for layer in memory.layers:
        torch.testing.assert_close(held[f"{layer}.store.keys"][0, :, :13], document.keys[layer])


def test_rows_never_see_each_other() -> None:
    memory, ids = attached(top_k=3, value="next", positions="original"), tokens(ROWS, 20)
    together = read(LaneMemory(memory, ROWS), ids)
    for row in range(ROWS):
        alone = read(LaneMemory(memory, 1), ids[row : row + 1])
        for each, own in zip(together, alone, strict=True):
            torch.testing.assert_close(each[row : row + 1], own)


def test_a_row_that_starts_a_document_forgets_and_others_do_not() -> None:
    memory, ids = attached(value="next", positions="original", top_k=3), tokens(2, 20)
    lanes, fresh = LaneMemory(memory, 2), tokens(2, 10, seed=5)
    before = read(lanes, ids)
    with lanes.live(), torch.no_grad():
        seen = []
        for at, piece in enumerate(steps(fresh)):
            lanes.begin(torch.tensor([at == 0, False]))
            seen.append(memory.model(piece).logits)
            lanes.commit(torch.tensor([SEGMENT, SEGMENT]))
    alone = read(LaneMemory(memory, 2), fresh)
    longer = read(LaneMemory(memory, 2), torch.cat([ids, fresh], 1))
    for at in range(2):
        torch.testing.assert_close(seen[at][0], alone[at][0])
        torch.testing.assert_close(seen[at][1], longer[len(before) + at][1])


def test_the_oldest_entries_go_first() -> None:
    memory, ids = attached(size=10, top_k=10, positions="original"), tokens(1, 35)
    lanes = LaneMemory(memory, 1)
    read(lanes, ids)
    assert sorted(lanes.tensors()["0.store.positions"][0].tolist()) == list(range(25, 35))


def test_a_row_without_tokens_remembers_nothing_new() -> None:
    memory, ids = attached(value="next"), tokens(2, SEGMENT)
    lanes = LaneMemory(memory, 2)
    with lanes.live(), torch.no_grad():
        lanes.begin(torch.tensor([True, True]))
        memory.model(ids)
        lanes.commit(torch.tensor([3, 0]))
        lanes.begin(torch.tensor([False, False]))
        memory.model(ids)
        lanes.commit(torch.tensor([0, 2]))
    assert lanes.tensors()["0.store.written"].tolist() == [3, 2]
    assert lanes.tensors()["position"].tolist() == [3, 2]


def test_repeated_tokens_are_remembered_once_and_held_back_where_merged_jointly() -> None:
    """With all that is remembered repeated in the segment, a joint memory has nothing to add."""
    memory, ids = attached(top_k=8), tokens(1, 8)
    with torch.no_grad():
        plain = memory.model(ids).logits
    lanes = LaneMemory(memory, 1)
    read(lanes, ids[:, :3], segment=3)
    with lanes.live(), torch.no_grad():
        lanes.begin(torch.tensor([False]), repeated=torch.tensor([3]))
        assert torch.equal(memory.model(ids).logits, plain)
        lanes.commit(torch.tensor([5]))
    held = lanes.tensors()
    assert held["0.store.positions"][0, :8].tolist() == list(range(8))
    whole = LaneMemory(memory, 1)
    read(whole, ids, segment=8)
    torch.testing.assert_close(held["0.store.keys"][:, :, :8], whole.tensors()["0.store.keys"][:, :, :8])


def gradients(checkpointing: bool, negatives: int = 0) -> tuple[list[float], dict[str, Tensor], dict[str, Tensor], int]:
    """Losses of three segments, the gradients of all of them, what is remembered, and how often was searched."""
    memory, ids = attached(merge="gated", value="next", top_k=4, positions="original", age=True), tokens(ROWS, 15)
    model, lanes, losses = memory.model, LaneMemory(memory, ROWS, negatives), []
    search, searched = lanes._search, 0

    def counted(*given: Any) -> Any:
        nonlocal searched
        searched += 1
        return search(*given)

    lanes._search = counted
    model.train()
    if checkpointing:
        model.activation_checkpointing_enable()
    with lanes.live():
        for at, piece in enumerate(steps(ids)):
            lanes.begin(torch.full((ROWS,), at == 0))
            loss = model(piece, labels=piece, use_cache=False).loss
            loss.backward()
            lanes.commit(torch.full((ROWS,), SEGMENT))
            losses.append(loss.item())
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return losses, grads, lanes.tensors(), searched


@pytest.mark.parametrize("negatives", [0, 2])
def test_checkpointing_changes_neither_gradients_nor_what_is_remembered(negatives: int) -> None:
    losses, grads, held, searched = gradients(False, negatives)
    again, same, kept, searches = gradients(True, negatives)
    assert losses == again
    assert searched == searches == 2 * 3
    for name, grad in grads.items():
        torch.testing.assert_close(same[name], grad)
    for name in ("position", "written", "1.store.written"):
        assert torch.equal(kept[name], held[name])
    torch.testing.assert_close(kept["1.store.keys"][:, :, :15], held["1.store.keys"][:, :, :15])


def test_a_commit_before_backward_is_refused() -> None:
    memory, ids = attached(merge="gated"), tokens(1, SEGMENT)
    lanes = LaneMemory(memory, 1)
    with lanes.live():
        for start in (True, False):
            lanes.begin(torch.tensor([start]))
            loss = memory.model(ids, labels=ids).loss
            lanes.commit(torch.tensor([SEGMENT]))
    with pytest.raises(RuntimeError, match="after its backward"):
        loss.backward()


def test_negatives_let_rows_find_what_others_remember() -> None:
    """A row finds what it would had it read both texts: lowest keys depend on nothing else."""
    memory, both = attached(layers=(0,), top_k=9), tokens(2, 4)
    lanes, alone, asked = LaneMemory(memory, 2, negatives=1), LaneMemory(memory, 1), tokens(2, 5, seed=7)
    read(lanes, both, segment=4)
    read(alone, both.reshape(1, 8), segment=4)
    seen = []
    for each, ids in ((lanes, asked), (alone, asked[:1])):
        with each.live(), torch.no_grad():
            each.begin()
            seen.append(memory.model(ids).logits[0])
    torch.testing.assert_close(seen[0], seen[1])


def test_what_is_remembered_is_saved_and_taken_up() -> None:
    memory, ids = attached(value="next", size=12, top_k=3), tokens(2, 20)
    whole, first = LaneMemory(memory, 2), LaneMemory(memory, 2)
    expected = read(whole, ids)
    read(first, ids[:, :10])
    second = LaneMemory(memory, 2)
    second.load({name: tensor.clone() for name, tensor in first.tensors().items()})
    for got, wanted in zip(read(second, ids[:, 10:], first=False), expected[2:], strict=True):
        assert torch.equal(got, wanted)


def test_wrong_rows_are_said() -> None:
    memory = attached()
    with pytest.raises(Problem, match="2 other rows"):
        LaneMemory(memory, 3, negatives=3)
    with pytest.raises(Problem, match="absolute positions"):
        LaneMemory(mnemon.attach(foreign("gpt2"), positions="original"), 1)
    lanes = LaneMemory(memory, 2)
    read(lanes, tokens(2, 5))
    with lanes.live(), pytest.raises(Problem, match="3 rows are read, but 2 lanes"):
        memory.model(tokens(3, 5))
    with pytest.raises(Problem, match="run the host between begin and commit"):
        LaneMemory(memory, 1).commit(torch.tensor([1]))
    assert not torch.equal(memory.model(tokens(2, 5)).logits, torch.zeros(()))


def test_afterwards_the_memory_answers_again() -> None:
    memory, ids = attached(), tokens(2, 5)
    plain = memory.model(ids).logits
    lanes = LaneMemory(memory, 2)
    read(lanes, ids)
    assert torch.equal(memory.model(ids).logits, plain)


def test_what_was_saved_by_its_old_names_is_taken_over() -> None:
    memory = attached(value="next")
    lanes, again = LaneMemory(memory, 1), LaneMemory(memory, 1)
    read(lanes, tokens(1, 11))
    now = lanes.tensors()
    old = {"seen" if name == "position" else name.replace(".store", ""): each for name, each in now.items()}
    again.load(old)
    torch.testing.assert_close(again.tensors(), now, rtol=0, atol=0, equal_nan=True)
