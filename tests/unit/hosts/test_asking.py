"""What a token asks the memory with, and how sharply."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from einops import rearrange
from torch import Tensor

import mnemon
from foreign import foreign, tokens
from mnemon.hosts import LaneMemory, let_learn
from mnemon.hosts.seam import Found


class Listening(LaneMemory):
    """Notes what is asked."""

    asked: dict[int, Tensor]

    def search(self, layer: int, q: Tensor) -> Sequence[Found]:
        self.asked = {**getattr(self, "asked", {}), layer: q}
        return super().search(layer, q)


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3"])
def test_each_query_head_asks_with_its_groups_key(name: str) -> None:
    memory = mnemon.attach(foreign(name, "sdpa"), layers="all", asks="key")
    lanes = Listening(memory, 2)
    with lanes.live(), torch.no_grad():
        for start in (True, False):
            lanes.begin(torch.tensor([start, start]))
            memory.model(tokens(2, 5, seed=int(start)))
            fresh = lanes.fresh
            lanes.commit(torch.tensor([5, 5]))
    for layer in memory.layers:
        heads = lanes.asked[layer].shape[2] // 5
        for each in rearrange(lanes.asked[layer], "b g (j t) d -> j b g t d", j=heads):
            torch.testing.assert_close(each, fresh[layer][0])


@pytest.mark.parametrize("positions", ["none", "first", "clamped", "original"])
def test_what_is_written_is_the_same_without_a_cache_and_with_any(positions: str) -> None:
    model = foreign("llama", "sdpa")
    memory = mnemon.attach(model, layers="all", asks="key", value="next", merge="gated", gate=0.5, positions=positions)
    memory.read(input_ids=tokens(1, 15, seed=5), document="one")
    rows, mask = tokens(2, 7), torch.tensor([[0, 0, 0, 1, 1, 1, 1], [1] * 7])
    settings: dict[str, Any] = {"attention_mask": mask, "max_new_tokens": 5, "do_sample": False}
    written = [
        model.generate(rows * mask, **settings, **cache)
        for cache in ({"use_cache": False}, {}, {"cache_implementation": "static"})
    ]
    assert torch.equal(written[0], written[1])
    assert torch.equal(written[0], written[2])
    memory.forget("one")
    assert not torch.equal(model.generate(rows * mask, **settings), written[0])


def test_scores_are_multiplied_by_the_sharpness() -> None:
    """log(share_i / share_j) = c (s_i - s_j)."""
    found = []
    for sharpness in (1.0, 3.0):
        memory = mnemon.attach(foreign("llama", "sdpa"), layers=(1,), merge="gated", top_k=9, sharpness=sharpness)
        memory.read(input_ids=tokens(1, 9, seed=5), document="one")
        memory.seams[0].trace = []
        with torch.no_grad():
            memory.model(tokens(1, 4))
        (seen,) = memory.seams[0].trace
        share = torch.empty_like(seen.share).scatter(-1, seen.ids, seen.share).log()
        found.append(share - share[..., :1])
    torch.testing.assert_close(found[1], 3 * found[0])


def test_a_sharpness_that_is_not_one_learns() -> None:
    memory = mnemon.attach(foreign("llama", "sdpa"), layers=(1,), asks="key", sharpness=2.0)
    assert let_learn(memory, "gates") == ["model.layers.1.self_attn.memory_gate.sharpness"]
    lanes, ids = LaneMemory(memory, 2), tokens(2, 10)
    with lanes.live():
        for at, piece in enumerate(ids.split(5, dim=1)):
            lanes.begin(torch.full((2,), at == 0))
            memory.model(piece, labels=piece).loss.backward()
            lanes.commit(torch.tensor([5, 5]))
    grad = memory.model.model.layers[1].self_attn.memory_gate.sharpness.grad
    assert grad is not None
    assert bool((grad != 0).all())
