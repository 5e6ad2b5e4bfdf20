"""arXiv 1907.01470, with the adaptive span of 1905.07799: the formulas as loops, one query, head and key at a time."""

import math

import torch
from torch import Tensor

from mnemon.model import AttentionConfig, HeadConfig, ModelConfig, SpanConfig, Transformer
from mnemon.pools import CacheConfig, PersistentConfig, PoolsConfig
from mnemon.positions.learned import LearnedConfig
from models import awake, text

L, E, H, D, N, S, R, BLOCK, V, B = 2, 12, 3, 4, 6, 7, 2, 5, 13, 2

CONFIG = ModelConfig(
    vocab_size=V,
    dim=E,
    n_layers=L,
    n_heads=H,
    head_dim=D,
    segment=BLOCK,
    window=S,
    norm="layer",
    norm_place="post",
    position=LearnedConfig(span=S),
    shared_position=True,
    attention=AttentionConfig(qk_norm=False, scale=None, span=SpanConfig(limit=S, ramp=R, penalty=1e-3)),
    pools=PoolsConfig(cache=CacheConfig(stores="hidden"), persistent=PersistentConfig(n=N)),
    head=HeadConfig(tied=False, bias=True),
    start="uniform",
)


class Loops:
    """One lane: a list of the hidden states that each layer has kept."""

    def __init__(self, model: Transformer) -> None:
        self.named = dict(model.named_parameters())
        self.cache: list[list[Tensor]] = [[] for _ in range(L)]

    def heads(self, layer: int, name: str) -> Tensor:
        return self.named[f"blocks.{layer}.attention.{name}.weight"].reshape(H, D, E)

    def block(self, tokens: list[int]) -> Tensor:
        """Final hidden states of the lane's next tokens."""
        h = [self.named["embedding.table"][token].clone() for token in tokens]
        for layer in range(L):
            seen = self.cache[layer] + h
            first = len(self.cache[layer])
            h = [self.one(layer, seen, first + i) for i in range(len(h))]
            self.cache[layer] = [x.detach() for x in seen][-S:]
        return torch.stack(h)

    def one(self, layer: int, seen: list[Tensor], t: int) -> Tensor:
        """LayerNorm(h_t + y_t)."""
        y = torch.cat([self.head(layer, head, seen, t) for head in range(H)])
        x = seen[t] + self.named[f"blocks.{layer}.attention.out.weight"] @ y
        x = (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt()
        return x * self.named[f"blocks.{layer}.norms.0.weight"] + self.named[f"blocks.{layer}.norms.0.bias"]

    def head(self, layer: int, head: int, seen: list[Tensor], t: int) -> Tensor:
        """y_t = (sum_r m_z(t-r) exp(s_tr) v_r + sum_i exp(e_ti) sqrt(N) Vp_i) / (sum of the factors)."""
        wq, wk, wv = (self.heads(layer, name)[head] for name in ("q", "k", "v"))
        pool = f"blocks.{layer}.attention.pools.persistent"
        z = S * self.named[f"blocks.{layer}.attention.span.ratio"][head]
        q = wq @ seen[t]
        top, bottom = torch.zeros(D, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        for r in range(max(0, t - S), t):
            p = self.named["position.table"][:, t - r - 1]
            m = ((R + z - (t - r)) / R).clamp(0, 1)
            a = m * (q @ (wk @ seen[r] + p) / math.sqrt(D)).exp()
            top, bottom = top + a * (wv @ seen[r]), bottom + a
        for i in range(N):
            a = (q @ (math.sqrt(D) * self.named[f"{pool}.key"][head, i]) / math.sqrt(D)).exp()
            top, bottom = top + a * math.sqrt(N) * self.named[f"{pool}.value"][head, i], bottom + a
        return top / bottom


def test_a_stream_of_segments_is_the_formula_in_outputs_and_gradients() -> None:
    model = awake(CONFIG)
    state, lanes, tokens = model.init_state(B), [Loops(model) for _ in range(B)], text(B, 4 * BLOCK)
    for step, piece in enumerate(tokens.split(BLOCK, dim=1)):
        if step == 2:
            state.reset(torch.tensor([False, True]))
            lanes[1] = Loops(model)
        output, update = model(piece, state)
        expected = torch.stack([lane.block(row.tolist()) for lane, row in zip(lanes, piece, strict=True)])
        torch.testing.assert_close(output.hidden, expected)
        same_gradients(model, output.hidden, expected)
        state.commit(update)
        with torch.no_grad():  # the cached states are those of the old weights, their keys and values those of the new
            for parameter in model.parameters():
                parameter.mul_(0.9)


def same_gradients(model: Transformer, found: Tensor, expected: Tensor) -> None:
    uneven = torch.linspace(-1, 1, found.numel(), dtype=torch.float64).view_as(found)
    gradients = [
        torch.autograd.grad((x * uneven).sum(), list(model.parameters()), materialize_grads=True)
        for x in (found, expected)
    ]
    for (name, _), mine, theirs in zip(model.named_parameters(), *gradients, strict=True):
        torch.testing.assert_close(mine, theirs, msg=lambda text, name=name: f"{name}: {text}")
    assert sum(bool(gradient.any()) for gradient in gradients[0]) >= 2 + 8 * L


def test_the_output_is_a_linear_layer_with_bias() -> None:
    model = awake(CONFIG)
    hidden = torch.randn(B, 3, E, dtype=torch.float64)
    w, b = (dict(model.named_parameters())[f"head.{name}"] for name in ("weight", "bias"))
    torch.testing.assert_close(model.head.logits(hidden), hidden @ w.T + b)


def test_the_span_loss_is_lambda_times_the_mean_span_of_each_layer() -> None:
    model = awake(CONFIG)
    output, _ = model(text(B, BLOCK), model.init_state(B))
    spans = [S * model.blocks[layer].attention.span.ratio for layer in range(L)]
    torch.testing.assert_close(output.penalty, sum(1e-3 / H * z.sum() for z in spans))


def test_at_the_start_every_head_sees_the_ramp_alone() -> None:
    model = CONFIG.replace(n_layers=1).build().double()  # deeper layers reach further
    state = model.init_state(1)
    tokens = text(1, BLOCK)
    before = model(tokens, state)[0].hidden[0, -1]
    tokens[0, -3] += 1  # at distance 2 = ramp
    torch.testing.assert_close(model(tokens % V, state)[0].hidden[0, -1], before)
    tokens[0, -2] += 1
    assert not torch.allclose(model(tokens % V, state)[0].hidden[0, -1], before)
