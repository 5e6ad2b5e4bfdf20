from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import ByT5Tokenizer

import mnemon
from mnemon.config import Problem
from mnemon.data import Document
from mnemon.evaluate import evaluate
from mnemon.hosts import HostModel
from mnemon.hosts.tokens import plain_tokenizer
from readers import byte_tokenizer, llama, tokens

TEXTS = ["the first of two documents, long enough. " * 3, "and then there is another one; it is shorter. " * 2]
DOCUMENTS = [Document(str(number), text) for number, text in enumerate(TEXTS)]


def hosted(size: int | None = None, **settings: Any) -> HostModel:
    settings = {"layers": "all", "segment": 12, "overlap": 5, "top_k": 6, **settings}
    return HostModel(mnemon.attach(llama(), byte_tokenizer(), **settings), size=size)


def heard(model: HostModel, ids: Tensor, memory: int | None = None) -> Tensor:
    """Logits of all tokens, read segment by segment."""
    state, found = model.init_state(len(ids), memory), []
    with torch.no_grad():
        for piece in ids.split(model.segment, dim=1):
            lengths = torch.full((len(ids),), piece.shape[1])
            output, update = model(piece, state, lengths)
            found.append(output.hidden)
            state.commit(update)
    return torch.cat(found, dim=1)


def test_a_segment_is_read_after_the_end_of_the_one_before() -> None:
    model, ids = hosted(), tokens(2, 21)
    assert model.segment == 7
    logits, host = heard(model, ids, memory=0), model.host
    with torch.no_grad():
        expected = torch.cat(
            [host(ids[:, :7]).logits, host(ids[:, 2:14]).logits[:, 5:], host(ids[:, 9:]).logits[:, 5:]], 1
        )
    torch.testing.assert_close(logits, expected)


def test_with_memory_it_is_another_reading() -> None:
    model, ids = hosted(), tokens(2, 21)
    with_memory, without = heard(model, ids), heard(model, ids, memory=0)
    torch.testing.assert_close(with_memory[:, :7], without[:, :7])
    assert (with_memory[:, 7:] - without[:, 7:]).abs().amax() > 1e-3


def test_rows_of_different_beginnings_do_not_touch_each_other() -> None:
    model = hosted(value="next", positions="original")
    ids = tokens(2, 14)
    alone = [heard(model, ids[row : row + 1]) for row in range(2)]
    late = model.init_state(2)
    with torch.no_grad():
        output, update = model(torch.stack([ids[0, :7], ids[1, 7:]]), late, torch.tensor([7, 7]))
        late.commit(update)
        late.reset(torch.tensor([False, True]))
        second, update = model(torch.stack([ids[0, 7:], ids[1, :7]]), late, torch.tensor([7, 7]))
    torch.testing.assert_close(output.hidden[0], alone[0][0, :7])
    torch.testing.assert_close(second.hidden[0], alone[0][0, 7:])
    torch.testing.assert_close(second.hidden[1], alone[1][0, :7])


def test_a_host_is_evaluated_as_our_models_are() -> None:
    """Losses of one document by the host itself; with its own memory, with another's, with values dealt out anew."""
    model, tokenizer = hosted(), plain_tokenizer(byte_tokenizer())
    found = {
        source: evaluate(model, DOCUMENTS, tokenizer, memory=(0, 64), rows=2, memory_source=source)
        for source in ("own", "other", "shuffled")
    }
    plain = found["own"].memory[0].documents[0]
    ids = torch.from_numpy(tokenizer.encode(TEXTS[0])).long()[None]
    with torch.no_grad():
        first = model.host(ids[:, :7]).logits.log_softmax(-1).gather(2, ids[:, 1:8, None])[0, :, 0]
    torch.testing.assert_close(torch.from_numpy(plain.nats[:7]), -first.float())
    assert len(plain.nats) == ids.shape[1] - 1
    bits = [found[source].memory[size].metrics["bits_per_byte"] for source in found for size in (0, 64)]
    assert bits[0] == bits[2] == bits[4]
    assert len(set(bits)) == 4


def test_a_host_that_learns_without_memory_remembers_nothing() -> None:
    model, ids = hosted(size=0), tokens(2, 21)
    torch.testing.assert_close(heard(model, ids), heard(model, ids, memory=0))
    assert not model.init_state(2).lanes.keeps


def test_state_is_saved_and_taken_up() -> None:
    model, ids = hosted(value="next"), tokens(2, 14)
    first, second = model.init_state(2), model.init_state(2)
    with torch.no_grad():
        first.commit(model(ids[:, :7], first, torch.tensor([7, 4]))[1])
        second.load({name: tensor.clone() for name, tensor in first.tensors().items()})
        seen = [model(ids[:, 7:], state, torch.tensor([7, 7]))[0].hidden for state in (first, second)]
    assert torch.equal(*seen)


def test_after_a_commit_the_memory_answers_again() -> None:
    model, ids = hosted(), tokens(1, 7)
    plain = model.host(ids).logits
    heard(model, tokens(2, 21))
    assert torch.equal(model.host(ids).logits, plain)


def test_a_segment_without_room_is_said() -> None:
    memory = mnemon.attach(llama(), segment=4, overlap=3)
    model = HostModel(memory)
    assert model.segment == 1
    memory.config = memory.config.model_copy(update={"overlap": 4})
    with pytest.raises(Problem, match="no room for 0 special ones and 4 repeated"):
        HostModel(memory)


def test_a_tokenizer_that_cannot_place_its_tokens_is_said() -> None:
    with pytest.raises(Problem, match="ByT5Tokenizer cannot say which characters"):
        plain_tokenizer(ByT5Tokenizer())
