"""arXiv 1901.02860, section 3.3: relative attention over cached hidden states, as loops."""

import math

import torch
from torch import Tensor

from mnemon.model import AttentionConfig, FeedForwardConfig, HeadConfig, ModelConfig, Transformer
from mnemon.pools import CacheConfig, PoolsConfig
from mnemon.positions.transformer_xl import TransformerXLConfig
from models import awake, text

L, E, H, D, F, W, SEGMENT, V, B = 2, 12, 3, 4, 10, 7, 5, 13, 2

CONFIG = ModelConfig(
    vocab_size=V,
    dim=E,
    n_layers=L,
    n_heads=H,
    head_dim=D,
    segment=SEGMENT,
    window=W,
    norm="layer",
    norm_place="post",
    position=TransformerXLConfig(),
    attention=AttentionConfig(qk_norm=False, scale=None, own_token=True),
    pools=PoolsConfig(cache=CacheConfig(stores="hidden")),
    feedforward=FeedForwardConfig(dim=F),
    head=HeadConfig(tied=False, bias=True),
)


def sinusoid(distance: int) -> Tensor:
    """[sin(p w_0) .. sin(p w_5), cos(p w_0) .. cos(p w_5)], w_i = 10000^(-2 i / E)."""
    angles = [distance / 10_000 ** (2 * i / E) for i in range(E // 2)]
    return torch.tensor([*map(math.sin, angles), *map(math.cos, angles)], dtype=torch.float64)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    return (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt() * gain + bias


class Loops:
    """One lane: a list of the hidden states that each layer has kept."""

    def __init__(self, model: Transformer) -> None:
        self.named = dict(model.named_parameters())
        self.cache: list[list[Tensor]] = [[] for _ in range(L)]

    def segment(self, tokens: list[int]) -> Tensor:
        h = [self.named["embedding.table"][token].clone() for token in tokens]
        for layer in range(L):
            own = {name.removeprefix(f"blocks.{layer}."): p for name, p in self.named.items()}
            seen = self.cache[layer] + h
            first = len(self.cache[layer])
            h = [self.one(own, seen, first + i) for i in range(len(h))]
            self.cache[layer] = [x.detach() for x in seen][-W:]
        return torch.stack(h)

    def one(self, own: dict[str, Tensor], seen: list[Tensor], t: int) -> Tensor:
        y = torch.cat([self.head(own, head, seen, t) for head in range(H)])
        x = layer_norm(seen[t] + own["attention.out.weight"] @ y, own["norms.0.weight"], own["norms.0.bias"])
        ff = own["feedforward.down.weight"] @ (own["feedforward.up.weight"] @ x).clamp(min=0)
        return layer_norm(x + ff, own["norms.1.weight"], own["norms.1.bias"])

    def head(self, own: dict[str, Tensor], head: int, seen: list[Tensor], t: int) -> Tensor:
        """A_tr = ((q_t + u) . k_r + (q_t + v) . W_r R_(t-r)) / sqrt(d), for r up to and with t itself."""
        wq, wk, wv = (own[f"attention.{name}.weight"].reshape(H, D, E)[head] for name in ("q", "k", "v"))
        wr = own["attention.position.project.weight"].reshape(H, D, E)[head]
        u, v = own["attention.position.u"][head], own["attention.position.v"][head]
        q, places = wq @ seen[t], range(max(0, t - W), t + 1)
        scores = [((q + u) @ (wk @ seen[r]) + (q + v) @ (wr @ sinusoid(t - r))) / math.sqrt(D) for r in places]
        weights = torch.stack(scores).softmax(0)
        return sum((a * (wv @ seen[r]) for a, r in zip(weights, places, strict=True)), torch.zeros(D))


def test_a_stream_of_segments_is_the_formula_in_outputs_and_gradients() -> None:
    model = awake(CONFIG)
    state, lanes, tokens = model.init_state(B), [Loops(model) for _ in range(B)], text(B, 4 * SEGMENT)
    for step, piece in enumerate(tokens.split(SEGMENT, dim=1)):
        if step == 2:
            state.reset(torch.tensor([False, True]))
            lanes[1] = Loops(model)
        output, update = model(piece, state)
        expected = torch.stack([lane.segment(row.tolist()) for lane, row in zip(lanes, piece, strict=True)])
        torch.testing.assert_close(output.hidden, expected)
        uneven = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).view_as(expected)
        gradients = [
            torch.autograd.grad((x * uneven).sum(), list(model.parameters()), materialize_grads=True)
            for x in (output.hidden, expected)
        ]
        torch.testing.assert_close(*gradients)
        state.commit(update)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.9)
