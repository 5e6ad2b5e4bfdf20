import pytest
import torch

import mnemon
from foreign import foreign
from mnemon.config import Problem
from mnemon.hosts.together import Together
from readers import llama, tokens

SETTINGS = {"layers": (0, 2), "segment": 7, "overlap": 3, "top_k": 99, "age": True}


def attached(**settings: object) -> mnemon.Memory:
    memory = mnemon.attach(llama().double(), **{**SETTINGS, **settings})
    for name, weight in memory.model.named_parameters():
        if "memory_gate" in name:
            torch.nn.init.uniform_(weight, -1, 1)
    return memory


def sets() -> list[list[torch.Tensor]]:
    return [[tokens(1, n, seed=10 * at + n)[0] for n in lengths] for at, lengths in enumerate([(9, 12), (5,), (1, 20)])]


@pytest.mark.parametrize("merge", ["gated", "joint"])
@pytest.mark.parametrize("value", ["own", "next"])
def test_a_set_is_what_the_memory_would_have_read(merge: str, value: str) -> None:
    memory, ids, rows = attached(merge=merge, value=value), tokens(4, 6), [0, 0, 2, 1]
    for at, documents in enumerate(sets()):
        for number, document in enumerate(documents):
            memory.read(input_ids=document, document=str(number), namespace=str(at))
    with memory.using([str(row) for row in rows]):
        expected = memory.model(ids).logits
    together = Together(memory)
    together.read(sets())
    with together.asking(torch.tensor(rows)):
        found = memory.model(ids).logits
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    assert not torch.equal(memory.model(ids).logits, found)


def test_gradients_reach_what_is_remembered() -> None:
    model, ids = foreign("gpt_neox", "sdpa"), tokens(3, 4) % 61  # its norms stay in float64
    memory = mnemon.attach(model, **{**SETTINGS, "merge": "gated", "value": "next"})
    for layer in memory.layers:
        for learned in model.gpt_neox.layers[layer].attention.memory_gate.double().parameters():
            torch.nn.init.uniform_(learned, -1, 1)
    weight = model.gpt_neox.layers[0].mlp.dense_4h_to_h.weight
    together, given = Together(memory), [[document % 61 for document in documents] for documents in sets()]

    def loss(read: bool = True) -> torch.Tensor:
        if read:
            together.read(given)
        with together.asking(torch.tensor([1, 0, 2])):
            return model(ids).logits.square().mean()

    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0), dtype=weight.dtype)

    def slope() -> float:
        (gradient,) = torch.autograd.grad(loss(), weight)
        return float((gradient * direction).sum())

    def difference(step: float = 1e-5, read: bool = True) -> float:
        found = []
        with torch.no_grad():
            for far in (1, -2, 1):
                weight.add_(far * step * direction)
                found.append(loss(read).item())
        return (found[0] - found[1]) / (2 * step)

    assert difference() == pytest.approx(slope(), rel=1e-6)
    # What the documents' own weights do to the memory is a good part of it: read once, they stay as they were.
    together.read(given)
    assert abs(difference(read=False) / slope() - 1) > 1e-2


def test_the_memory_is_searched_again_afterwards() -> None:
    memory, ids = attached(), tokens(2, 4)
    memory.read(input_ids=tokens(1, 12), document="a")
    expected, together = memory.model(ids).logits, Together(memory)
    together.read(sets())
    assert torch.equal(memory.model(ids).logits, expected)
    with pytest.raises(RuntimeError), together.asking(torch.tensor([0, 0])):
        memory.model(ids[:, :0])
    assert torch.equal(memory.model(ids).logits, expected)


@pytest.mark.parametrize("setting", [{"positions": "original"}, {"sees": "document"}])
def test_what_cannot_be_trained_together_is_refused(setting: dict[str, str]) -> None:
    with pytest.raises(Problem, match="together"):
        Together(attached(**setting))
