"""arXiv 2203.08913: what must hold of a whole model, whatever its numbers."""

import pytest
import torch

from mnemon.model import Transformer
from mnemon.pools import CacheConfig, KNNConfig, PoolsConfig
from mnemon.recipes import recipe
from models import SEGMENT, awake, same, small, text

B, LAYER = 2, 1
FIRST_IN = PoolsConfig(cache=CacheConfig(), knn=KNNConfig(layers=(LAYER,), size=2 * SEGMENT, top_k=2 * SEGMENT))
both = pytest.mark.parametrize("faithful", [False, True], ids=["ours", "faithful"])


def made(faithful: bool) -> Transformer:
    return awake(small(pools=FIRST_IN, faithful=faithful))


def gate(model: Transformer, logit: float) -> None:
    torch.nn.init.constant_(model.layers[LAYER].attention.gate, logit)


@both
def test_a_segment_finds_neither_itself_nor_another_document_and_the_oldest_goes_first(faithful: bool) -> None:
    model = made(faithful)
    state = model.init_state(B)
    expected = [[], range(5), range(10), range(5, 15), [], range(5)]
    for step, held in enumerate(expected):
        if step == 4:
            state.reset(torch.ones(B, dtype=torch.bool))
        output, update = model(text(B, SEGMENT, seed=step), state, inspect=True)
        found = output.traces[LAYER].neighbours
        assert (found is None) == (not held and not faithful)
        if found is not None:
            for row in range(B):
                positions = found.positions[row][found.valid[row]]
                assert set(positions.tolist()) == set(held)
        state.commit(update)


@both
def test_a_gate_of_one_over_everything_stored_is_dense_attention_to_it(faithful: bool) -> None:
    model = made(faithful)
    gate(model, 100.0)
    state, attention = model.init_state(B), model.layers[LAYER].attention
    keys, values = [], []
    for step in range(3):
        x = torch.randn(B, SEGMENT, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        y, fresh, _ = attention(x, state.layer(LAYER))
        if keys:
            q = attention._heads(attention.q(x)) * attention.scale.abs()[:, None, None]
            k, v = (torch.cat(each, 2) for each in (keys, values))
            scores = q @ k.mT
            if faithful:  # what is not written yet are entries of zeros
                empty = (0, 2 * SEGMENT - k.shape[2])
                scores, v = torch.nn.functional.pad(scores, empty), torch.nn.functional.pad(v, (0, 0, *empty))
            o = scores.softmax(-1) @ v
            torch.testing.assert_close(y, attention.out(o.transpose(1, 2).flatten(2)))
        keys.append(fresh.k)
        values.append(fresh.v)
        _, update = model(text(B, SEGMENT, seed=step), state)
        update[LAYER] = fresh
        state.commit(update)


@both
def test_a_gate_of_zero_is_the_transformer_xl_bit_for_bit(faithful: bool) -> None:
    model = made(faithful)
    gate(model, -torch.inf)
    plain = small(pools=PoolsConfig(cache=CacheConfig()), faithful=faithful).build().double().eval()
    plain.load_state_dict({name: x for name, x in model.state_dict().items() if not name.endswith("gate")})
    states = model.init_state(B), plain.init_state(B)
    for step in range(4):
        tokens = text(B, SEGMENT, seed=step)
        found = []
        for each, state in zip((model, plain), states, strict=True):
            # inspected: both then take the path that gives a log-sum-exp
            output, update = each(tokens, state, inspect=True)
            state.commit(update)
            found.append(output.hidden)
        assert torch.equal(*found)


@both
def test_gradients_reach_queries_scale_and_gate_but_nothing_that_is_stored(faithful: bool) -> None:
    model = made(faithful)
    gate(model, 100.0)  # the memory alone
    state = model.init_state(B)
    state.commit(model(text(B, SEGMENT), state)[1])
    before = {name: x.clone() for name, x in state.tensors().items()}
    attention = model.layers[LAYER].attention
    x = torch.randn(B, SEGMENT, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    attention(x, state.layer(LAYER))[0].square().sum().backward()
    assert bool(attention.q.weight.grad.any())
    assert bool(attention.scale.grad.all())
    assert float(attention.k.weight.grad.abs().max()) < 1e-12, "keys and values learn from local attention alone"
    assert float(attention.v.weight.grad.abs().max()) < 1e-12
    assert same(state.tensors(), before)
    gate(model, 0.0)
    model.zero_grad()
    attention(x, state.layer(LAYER))[0].square().sum().backward()
    assert bool(attention.gate.grad.all())


def test_faithful_the_gate_takes_its_share_before_anything_is_stored() -> None:
    ours, theirs = made(False), made(True)
    x = torch.randn(B, SEGMENT, 12, dtype=torch.float64)
    found = {}
    for name, model in (("ours", ours), ("theirs", theirs)):
        attention, states = model.layers[LAYER].attention, model.init_state(B)
        for logit in (-torch.inf, 0.0):
            gate(model, logit)
            found[name, logit] = attention(x, states.layer(LAYER))[0]
    assert torch.equal(found["ours", 0.0], found["ours", -torch.inf])
    torch.testing.assert_close(found["theirs", 0.0], found["theirs", -torch.inf] / 2)
    assert not torch.allclose(found["theirs", -torch.inf], found["ours", -torch.inf])  # zeros in the cache count


def test_every_recipe_can_be_faithful() -> None:
    for name in ("memorizing-tiny", "all-attention-tiny", "memorizing"):
        assert recipe(name).replace(model__faithful=True).model.faithful
