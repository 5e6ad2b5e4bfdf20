"""arXiv 1907.01470, with the adaptive span of 1905.07799, against the formulas as loops, in each of its forms."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from all_attention_loops import BLOCK, B, D, E, H, L, Loops, N, R, S, V
from mnemon.model import Attention, AttentionConfig, HeadConfig, MemoryState, ModelConfig, SpanConfig, Transformer
from mnemon.pools import CacheConfig, PersistentConfig, PoolsConfig
from mnemon.pools.persistent import Form
from mnemon.positions.learned import LearnedConfig
from models import awake, read, text
from streams import whole

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


FORMS = [*get_args(Form), "none"]
READINGS = {
    "odd heads": {},
    "faithful": {"faithful": True},
    "code's distance": {"attention__span__offset": 1},
    "a table a layer": {"shared_position": False},
}


def formed(form: str) -> ModelConfig:
    """The model in one of the paper's forms, with heads that can be halved; "none": without persistent vectors."""
    vectors = PersistentConfig(n=0) if form == "none" else PersistentConfig(n=N, form=form)
    return CONFIG.replace(n_heads=4, head_dim=3, pools__persistent=vectors)


def lane(model: Transformer) -> Loops:
    config, span = model.config, model.config.attention.span
    vectors = config.pools.persistent
    assert span is not None
    assert vectors is not None
    named = dict(model.named_parameters())
    return Loops(named, vectors.form, config.n_heads, config.head_dim, vectors.n, 1 - span.offset, config.faithful)


@pytest.mark.parametrize("reading", [*READINGS, *FORMS])
def test_a_stream_of_segments_is_the_formula_in_outputs_and_gradients(reading: str) -> None:
    model = awake(CONFIG.replace(**READINGS[reading]) if reading in READINGS else formed(reading))
    state, lanes, tokens = model.init_state(B), [lane(model) for _ in range(B)], text(B, 4 * BLOCK)
    for step, piece in enumerate(tokens.split(BLOCK, dim=1)):
        if step == 2:
            state.reset(torch.tensor([False, True]))
            lanes[1] = lane(model)
        output, update = model(piece, state)
        expected = torch.stack([each.block(row.tolist()) for each, row in zip(lanes, piece, strict=True)])
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
    assert sum(bool(gradient.any()) for gradient in gradients[0]) >= 2 + 6 * L


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


def layer_alone(model: Transformer, state: MemoryState, tokens: torch.Tensor) -> Tensor:
    """What the first layer's attention says, whose output projection is the identity."""
    said: list[Tensor] = []
    hook = model.blocks[0].attention.register_forward_hook(lambda _, __, out: said.append(out[0]))
    model(tokens, state)
    hook.remove()
    return said[0]


def test_weights_of_context_and_vectors_sum_to_one_under_the_span_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    model = awake(CONFIG)
    attention, known = model.blocks[0].attention, Attention._project
    monkeypatch.setattr(
        Attention, "_project", lambda layer, h: (known(layer, h)[0], torch.ones_like(known(layer, h)[1]))
    )
    attention.pools["persistent"].value.data.fill_(1 / math.sqrt(N))
    attention.out.weight.data.copy_(torch.eye(E))
    state = model.init_state(B)
    for piece in text(B, 3 * BLOCK).split(BLOCK, dim=1):
        ones = layer_alone(model, state, piece)
        torch.testing.assert_close(ones, torch.ones_like(ones), rtol=0, atol=1e-6)
        state.commit(model(piece, state)[1])


def test_a_token_s_own_key_and_value_have_no_part_in_what_it_is_told() -> None:
    model = awake(CONFIG.replace(attention__span__ramp=7))
    tokens = text(1, BLOCK)
    queries, told = model.blocks[0].attention.q, []
    for _ in range(2):
        kept = queries(model.embedding(tokens))  # as before, whatever its keys and values become
        queries.register_forward_hook(lambda _, __, ___, kept=kept: kept)
        told.append(layer_alone(model, model.init_state(1), tokens))
        tokens[0, -2] = (tokens[0, -2] + 1) % V
    torch.testing.assert_close(told[0][:, :-1], told[1][:, :-1])
    assert not torch.allclose(told[0][:, -1], told[1][:, -1])


def test_persistent_logits_start_with_the_variance_of_the_queries() -> None:
    torch.manual_seed(0)
    d, n = 64, 2048
    pool, q = PersistentConfig(n=n).build(d, 1, d, 1, 1, 0), torch.randn(1, 1, 400, d) * 0.7
    read = pool.read(pool.init_state(1), q, whole([0], 400))
    assert read is not None
    logits = q @ read.k.mT / math.sqrt(d)
    assert logits.var().item() == pytest.approx(q.square().mean().item(), rel=0.05)
    assert read.v.var().item() == pytest.approx(1.0, rel=0.05)


def test_one_block_of_512_is_eight_of_64_with_a_cache() -> None:
    config = CONFIG.replace(
        window=96, segment=512, position=LearnedConfig(span=96), attention__span=SpanConfig(limit=96, ramp=32)
    )
    tokens = text(1, 512)
    whole_text, pieces = (
        read(model, model.init_state(1), tokens) for model in (awake(config), awake(config.replace(segment=64)))
    )
    torch.testing.assert_close(pieces, whole_text)
