"""arXiv 1907.01470, with the adaptive span of 1905.07799, against the formulas as loops, in each of its forms."""

from typing import get_args

import pytest
import torch
from torch import Tensor

from all_attention_loops import BLOCK, B, D, E, H, L, Loops, N, R, S, V
from mnemon.model import AttentionConfig, HeadConfig, ModelConfig, SpanConfig, Transformer
from mnemon.pools import CacheConfig, PersistentConfig, PoolsConfig
from mnemon.pools.persistent import Form
from mnemon.positions.learned import LearnedConfig
from models import awake, text

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


def formed(form: str) -> ModelConfig:
    """The model in one of the paper's forms, with heads that can be halved; "none": without persistent vectors."""
    vectors = PersistentConfig(n=0) if form == "none" else PersistentConfig(n=N, form=form)
    return CONFIG.replace(n_heads=4, head_dim=3, pools__persistent=vectors)


def lane(model: Transformer, form: str) -> Loops:
    if form == "faithful":
        return Loops(dict(model.named_parameters()), faithful=True)
    heads, head_dim = (H, D) if form == "odd" else (4, 3)
    return Loops(
        dict(model.named_parameters()),
        "all-attn" if form == "odd" else form,
        heads,
        head_dim,
        0 if form == "none" else N,
    )


@pytest.mark.parametrize("form", ["odd", "faithful", *FORMS])
def test_a_stream_of_segments_is_the_formula_in_outputs_and_gradients(form: str) -> None:
    odd = {"odd": CONFIG, "faithful": CONFIG.replace(faithful=True)}
    model = awake(odd.get(form) or formed(form))
    state, lanes, tokens = model.init_state(B), [lane(model, form) for _ in range(B)], text(B, 4 * BLOCK)
    for step, piece in enumerate(tokens.split(BLOCK, dim=1)):
        if step == 2:
            state.reset(torch.tensor([False, True]))
            lanes[1] = lane(model, form)
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
