"""arXiv 2203.08913: the layers of a memorizing transformer as loops, one query, head and key at a time.

By default an empty window gives zero and an empty memory closes the gate; `faithful`, zeros stand in both, as in the
released code, and every softmax has one more logit of -1000, whose value is zero.
"""

import math

import pytest
import torch
from torch import Tensor

from mnemon.model import AttentionConfig, FeedForwardConfig, HeadConfig, ModelConfig, Transformer
from mnemon.pools import CacheConfig, KNNConfig, PersistentConfig, PoolsConfig
from mnemon.positions.t5 import T5Config
from models import awake, text

L, E, H, D, F, N, W, SEGMENT, M, K, V, B = 2, 12, 3, 4, 10, 6, 7, 5, 8, 3, 13, 2
MEMORY_LAYER = 1

MEMORIZING = ModelConfig(
    vocab_size=V,
    dim=E,
    n_layers=L,
    n_heads=H,
    head_dim=D,
    segment=SEGMENT,
    window=W,
    position=T5Config(buckets=4, furthest=6),
    pools=PoolsConfig(cache=CacheConfig(stores="kv"), knn=KNNConfig(layers=(MEMORY_LAYER,), size=M, top_k=K)),
    feedforward=FeedForwardConfig(dim=F),
    head=HeadConfig(divide_by="sqrt-vocab"),
)
WITH_PERSISTENT = MEMORIZING.replace(feedforward=None, pools=MEMORIZING.pools.replace(persistent=PersistentConfig(n=N)))
FAITHFUL = MEMORIZING.replace(faithful=True, pools__knn__size=10)
OVER_ALL = WITH_PERSISTENT.replace(attention=AttentionConfig(gate_over="all"))

Pair = tuple[Tensor, Tensor]


def rms(x: Tensor, gain: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean() + 1e-6) * gain


def unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().sum() + 1e-6)


def bucket(distance: int) -> int:
    """Four buckets up to distance 6: 0 and 1 for themselves, then two by logarithm."""
    return distance if distance < 2 else min(3, 2 + int(math.log(distance / 2) / math.log(6 / 2) * 2))


class Loops:
    """One lane: the keys and values of each layer's last window, and those in the memory, a list for each head."""

    def __init__(self, model: Transformer) -> None:
        self.config, self.named = model.config, dict(model.named_parameters())
        zero = torch.zeros(D, dtype=torch.float64)
        self.zeros: list[Pair] = [(zero, zero)] if self.config.faithful else []
        self.cached = W if self.config.pools.cache else 0
        self.cache: list[list[list[Pair]]] = [[self.cached * self.zeros for _ in range(H)] for _ in range(L)]
        assert self.config.pools.knn is not None
        self.knn = self.config.pools.knn
        self.memory: dict[int, list[list[Pair]]] = {layer: [[] for _ in range(H)] for layer in self.knn.layers}

    def of(self, layer: int, name: str) -> Tensor:
        return self.named[f"blocks.{layer}.{name}"]

    def segment(self, tokens: list[int]) -> Tensor:
        """Final hidden states of the lane's next segment, which is written to the memory after it was read."""
        x = [self.named["embedding.table"][token] for token in tokens]
        for layer in range(L):
            x = self.layer(layer, x)
        return torch.stack([rms(each, self.named["norm.weight"]) for each in x])

    def layer(self, layer: int, x: list[Tensor]) -> list[Tensor]:
        normed = [rms(each, self.of(layer, "norms.0.weight")) for each in x]
        heads = [self.head(layer, head, normed) for head in range(H)]
        x = [
            each + self.of(layer, "attention.out.weight") @ torch.cat([head[t] for head in heads])
            for t, each in enumerate(x)
        ]
        if self.config.feedforward is None:
            return x
        up, down = self.of(layer, "feedforward.up.weight"), self.of(layer, "feedforward.down.weight")
        return [y + down @ (up @ rms(y, self.of(layer, "norms.1.weight"))).clamp(min=0) for y in x]

    def head(self, layer: int, head: int, x: list[Tensor]) -> list[Tensor]:
        """What one head answers to every token of the segment."""
        wq, wk, wv = (self.of(layer, f"attention.{name}.weight").reshape(H, D, E)[head] for name in ("q", "k", "v"))
        scale, table = self.of(layer, "attention.scale")[head], torch.zeros(4, dtype=torch.float64)
        if layer not in self.memory or self.knn.positions:
            table = self.of(layer, "attention.position.table")[head]
        pairs = self.cache[layer][head] + [(unit(wk @ each), wv @ each) for each in x]
        first = len(pairs) - len(x)
        answers = []
        for i, each in enumerate(x):
            q, t = unit(wq @ each), first + i
            scores = {r: scale * (q @ pairs[r][0] + table[bucket(t - r)]) for r in range(max(0, t - W), t)}
            context = self.weighed(scores, pairs)
            answers.append(self.mixed(layer, head, q, scale, context, scores))
        kept = [(k.detach(), v.detach()) for k, v in pairs]
        self.cache[layer][head] = kept[max(0, len(kept) - self.cached) :]
        if layer in self.memory:
            self.memory[layer][head] = (self.memory[layer][head] + kept[first:])[-self.knn.size :]
        return answers

    def weighed(self, scores: dict[int, Tensor], pairs: list[Pair]) -> Tensor:
        if self.config.faithful:
            nothing = torch.tensor(-1000.0, dtype=torch.float64)
            weights = torch.stack([*scores.values(), nothing]).softmax(0)
            zero = torch.zeros(D, dtype=torch.float64)
            return sum((a * pairs[r][1] for r, a in zip(scores, weights[:-1], strict=True)), zero)
        total = sum((s.exp() for s in scores.values()), torch.zeros((), dtype=torch.float64))
        mass = sum((s.exp() * pairs[r][1] for r, s in scores.items()), torch.zeros(D, dtype=torch.float64))
        return mass / total if scores else mass

    def mixed(
        self, layer: int, head: int, q: Tensor, scale: Tensor, context: Tensor, scores: dict[int, Tensor]
    ) -> Tensor:
        """(1 - g) context + g memory, and the persistent vectors by their share of the sum of exponentials."""
        over_all = self.config.attention.gate_over == "all"
        if not over_all:
            context = self.gated(layer, head, q, scale, context)
        if self.config.pools.persistent is not None:
            keys, values = (self.of(layer, f"attention.pools.persistent.{name}")[head] for name in ("key", "value"))
            e = {i: scale * (q @ unit(math.sqrt(D) * keys[i])) for i in range(N)}
            persistent = self.weighed(e, [(keys[i], math.sqrt(N) * values[i]) for i in range(N)])
            here, there = (sum(s.exp() for s in each.values()) for each in (scores, e))
            context = (here * context + there * persistent) / (here + there)
        return self.gated(layer, head, q, scale, context) if over_all else context

    def gated(self, layer: int, head: int, q: Tensor, scale: Tensor, rest: Tensor) -> Tensor:
        if layer not in self.memory or not self.memory[layer][head] + self.zeros:
            return rest
        g = torch.sigmoid(self.of(layer, "attention.gate")[head])
        best = sorted(self.memory[layer][head], key=lambda pair: float(q.detach() @ pair[0]), reverse=True)
        best = (best + self.knn.top_k * self.zeros)[: self.knn.top_k]
        remembered = self.weighed({i: scale * (q @ k) for i, (k, _) in enumerate(best)}, best)
        return (1 - g) * rest + g * remembered


KINDS = {
    "plain": MEMORIZING,
    "persistent": WITH_PERSISTENT,
    "over all": OVER_ALL,
    "faithful": FAITHFUL,
    "faithful, few neighbours": FAITHFUL.replace(pools__knn__top_k=7),
    "no positions beside the memory": MEMORIZING.replace(pools__knn__positions=False),
    "faithful, no cache": FAITHFUL.replace(pools__cache=None, window=SEGMENT),
    "no cache": MEMORIZING.replace(pools__cache=None, window=SEGMENT),
    "two memory layers": MEMORIZING.replace(pools__knn__layers=(0, 1)),
    "faithful, two memory layers": FAITHFUL.replace(pools__knn__layers=(0, 1)),
}


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_a_stream_of_segments_is_the_formula_in_outputs_and_gradients(config: ModelConfig) -> None:
    model = awake(config)
    state, lanes, tokens = model.init_state(B), [Loops(model) for _ in range(B)], text(B, 5 * SEGMENT)
    for step, piece in enumerate(tokens.split(SEGMENT, dim=1)):
        if step == 3:
            state.reset(torch.tensor([False, True]))
            lanes[1] = Loops(model)
        output, update = model(piece, state)
        expected = torch.stack([lane.segment(row.tolist()) for lane, row in zip(lanes, piece, strict=True)])
        torch.testing.assert_close(output.hidden, expected)
        same_gradients(model, output.hidden, expected, step)
        state.commit(update)
        with torch.no_grad():  # what is cached and stored was made by the old weights
            for parameter in model.parameters():
                parameter.mul_(0.9)


def same_gradients(model: Transformer, found: Tensor, expected: Tensor, step: int) -> None:
    uneven = torch.linspace(-1, 1, found.numel(), dtype=torch.float64).view_as(found)
    gradients = [
        torch.autograd.grad((x * uneven).sum(), list(model.parameters()), materialize_grads=True)
        for x in (found, expected)
    ]
    for (name, _), mine, theirs in zip(model.named_parameters(), *gradients, strict=True):
        torch.testing.assert_close(mine, theirs, msg=lambda text, name=name: f"{name}: {text}")
        assert bool(mine.any()) or (step == 0 and name.endswith("gate")), f"{name} is meant to matter"


def test_logits_are_products_with_the_tied_table_over_the_root_of_the_vocabulary() -> None:
    model = awake(MEMORIZING)
    hidden = torch.randn(B, 3, E, dtype=torch.float64)
    torch.testing.assert_close(model.head.logits(hidden), hidden @ model.embedding.table.T / math.sqrt(V))


def test_the_gate_starts_half_open_and_the_scale_at_one() -> None:
    attention = MEMORIZING.build().blocks[MEMORY_LAYER].attention
    assert attention.gate.sigmoid().tolist() == [0.5] * H
    assert attention.scale.tolist() == [1.0] * H
