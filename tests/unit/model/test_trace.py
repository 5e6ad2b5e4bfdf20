import pytest
import torch

from mnemon.model import AttentionConfig, Transformer
from mnemon.pools import CacheConfig, KNNConfig, PersistentConfig, PoolsConfig
from mnemon.positions.none import NoneConfig
from models import awake, read, small, text

PERSISTENT = PersistentConfig(n=6)
KINDS = {
    "local": PoolsConfig(),
    "cache": PoolsConfig(cache=CacheConfig()),
    "hidden cache": PoolsConfig(cache=CacheConfig(stores="hidden")),
    "persistent": PoolsConfig(cache=CacheConfig(), persistent=PERSISTENT),
    "gated": PoolsConfig(cache=CacheConfig(), knn=KNNConfig(layers=(1,), size=9, top_k=3)),
    "joint": PoolsConfig(cache=CacheConfig(), knn=KNNConfig(layers=(1,), size=19, top_k=3, merge="joint")),
    "all": PoolsConfig(cache=CacheConfig(), persistent=PERSISTENT, knn=KNNConfig(layers=(1,), size=9, top_k=3)),
    "all joint": PoolsConfig(
        cache=CacheConfig(), persistent=PERSISTENT, knn=KNNConfig(layers=(1,), size=19, top_k=3, merge="joint")
    ),
}
POOLS = ("local", "cache", "persistent", "knn")


def marked(pools: PoolsConfig, gate_over: str = "context") -> Transformer:
    """A model whose values of layer 1 are the unit vector of the pool that they come from.

    With four channels a head, the merged output of a head is then the row of shares itself.
    """
    model = awake(small(pools=pools, attention=AttentionConfig(gate_over=gate_over)))
    attention = model.blocks[1].attention
    attention.v.weight.data.zero_()
    if "persistent" in attention.pools:
        attention.pools["persistent"].value.data.copy_(torch.eye(4)[2] / 6**0.5)
    attention.out.weight.data.copy_(torch.eye(12))
    return model


@pytest.mark.parametrize("gate_over", ["context", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_shares_are_the_weights_of_the_pools_in_the_output(
    kind: str, gate_over: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = marked(KINDS[kind], gate_over)
    attention = model.blocks[1].attention
    state = model.init_state(2)
    read(model, state, text(2, 12))
    state.reset(torch.tensor([False, True]), memory=False)  # row 1: nothing recent, but a memory
    if state.remembers:
        state.states[1]["knn"].store.values.copy_(torch.eye(4)[3])
    known = type(attention)._project

    def project(layer: object, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        k, v = known(layer, h)
        v = v + torch.eye(4)[0]
        if layer is attention and kind == "hidden cache":  # hidden states of the cache, before those of the segment
            v[:, :, :-3] = torch.eye(4)[1]
        return k, v

    monkeypatch.setattr(type(attention), "_project", project)
    if kind not in ("local", "hidden cache"):
        state.states[1]["cache"].v.copy_(torch.eye(4)[1])
    found = []
    attention.register_forward_hook(lambda _, __, out: found.append(out[0].unflatten(-1, (3, 4)).transpose(1, 2)))
    tokens = text(2, 3, seed=1)
    output, _ = model(tokens, state, inspect=True)
    shares = output.traces[1].shares
    for channel, pool in enumerate(POOLS):
        torch.testing.assert_close(shares.get(pool, torch.zeros(2, 3, 3).double()), found[0][..., channel])
    assert set(shares) - {"local", "cache"} == {pool for pool in POOLS[2:] if pool in attention.pools}


def test_neighbours_are_told_with_positions_weights_and_validity() -> None:
    model = awake(small(pools=KINDS["gated"]))
    state = model.init_state(2)
    read(model, state, text(2, 5))
    state.reset(torch.tensor([True, False]))
    output, _ = model(text(2, 3, seed=1), state, inspect=True)
    assert output.traces[0].neighbours is None
    found = output.traces[1].neighbours
    assert found is not None
    assert found.ids.shape == (2, 3, 3, 3)
    assert not bool(found.valid[0].any())
    assert bool((found.positions[0] == -1).all())
    assert bool(found.valid[1].all())
    assert bool(((found.positions[1] >= 0) & (found.positions[1] < 5)).all())
    torch.testing.assert_close(found.weights.sum(-1)[1], torch.ones(3, 3).double())
    assert not bool(found.weights[0].any())


def test_the_gate_is_told_as_a_share() -> None:
    model = awake(small(pools=KINDS["gated"]))
    output, _ = model(text(2, 3), model.init_state(2), inspect=True)
    assert output.traces[0].gate is None
    torch.testing.assert_close(output.traces[1].gate, model.blocks[1].attention.gate.sigmoid())


def test_a_trace_carries_no_gradient() -> None:
    model = awake(small(pools=KINDS["all"]))
    state = model.init_state(2)
    read(model, state, text(2, 5))
    output, _ = model(text(2, 3), state, inspect=True)
    for trace in output.traces:
        assert not any(share.requires_grad for share in trace.shares.values())
        assert trace.gate is None or not trace.gate.requires_grad
        assert trace.neighbours is None or not trace.neighbours.weights.requires_grad


def test_layers_say_how_far_and_how_evenly_they_look_back() -> None:
    """Zero queries look at all they see alike: at the mean of the distances, with the log of their number."""
    model = awake(small(pools=KINDS["cache"], position=NoneConfig()))
    model.blocks[1].attention.q.weight.data.zero_()
    state = model.init_state(1)
    read(model, state, text(1, 5))
    output, _ = model(text(1, 3, seed=1), state, inspect=True)
    assert [trace.layer for trace in output.traces] == [0, 1]
    seen = torch.tensor([5.0, 6.0, 7.0]).double()  # tokens before each of the three, as far as the window of 7
    wanted = ((seen + 1) / 2).expand(1, 3, 3)
    torch.testing.assert_close(output.traces[1].reach, wanted)
    torch.testing.assert_close(output.traces[1].entropy, seen.log().expand(1, 3, 3))
    first, _ = model(text(1, 3), model.init_state(1), inspect=True)
    assert not bool(first.traces[1].reach[..., 0].any()), "the first token sees nothing"


def test_scores_of_neighbours_are_cosines_and_none_where_nothing_is_valid() -> None:
    model = awake(small(pools=KINDS["gated"]))
    state = model.init_state(2)
    read(model, state, text(2, 5))
    state.reset(torch.tensor([True, False]))
    output, _ = model(text(2, 3, seed=1), state, inspect=True)
    found = output.traces[1].neighbours
    assert found is not None
    assert bool((found.scores[0] == -torch.inf).all())
    assert bool(((found.scores[1] <= 1 + 1e-6) & (found.scores[1] >= -1)).all())
    assert bool((found.scores[1].diff(dim=-1) <= 0).all())


@pytest.mark.parametrize("form", ["attn-split", "single-head", "head-split"])
def test_shares_of_separate_softmaxes_are_parts_of_the_whole_output(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pools = PoolsConfig(cache=CacheConfig(), persistent=PersistentConfig(n=6, form=form))
    model = awake(small(n_heads=4, head_dim=3, pools=pools))
    attention, marks = model.blocks[1].attention, torch.eye(3)
    vectors = attention.pools["persistent"].value
    vectors.data.copy_((marks[2] / vectors.shape[1] ** 0.5).repeat(vectors.shape[2] // 3))
    attention.out.weight.data.copy_(torch.eye(12))
    state = model.init_state(2)
    read(model, state, text(2, 12))
    state.reset(torch.tensor([False, True]))
    state.states[1]["cache"].v.copy_(marks[1])
    known = type(attention)._project
    monkeypatch.setattr(
        type(attention), "_project", lambda layer, h: (known(layer, h)[0], marks[0].expand_as(known(layer, h)[1]))
    )
    found = []
    attention.register_forward_hook(lambda _, __, out: found.append(out[0].unflatten(-1, (4, 3)).transpose(1, 2)))
    shares = model(text(2, 3, seed=1), state, inspect=True)[0].traces[1].shares
    expected = torch.nan_to_num(found[0] / found[0].sum(-1, keepdim=True))
    for channel, pool in enumerate(("local", "cache", "persistent")):
        torch.testing.assert_close(shares[pool], expected[..., channel])
    alone = [0.0, 0.0, 1.0, 1.0] if form == "head-split" else [1.0] * 4
    assert torch.equal(shares["persistent"][1, :, 0], torch.tensor(alone).double()), "there is no context"
