import pytest
import torch

from mnemon.pools import CacheConfig, PoolsConfig
from mnemon.positions.absolute import Absolute, AbsoluteConfig, Learned
from mnemon.positions.sinusoidal import SinusoidalConfig
from models import awake, read, small, text

STREAM, SEGMENT = torch.tensor([[5, 6, 7], [0, 1, 2]]), torch.tensor([[0, 1, 2], [3, 4, 0]])
CACHED = PoolsConfig(cache=CacheConfig(stores="hidden"))


@pytest.mark.parametrize("since", ["stream", "segment"])
def test_a_place_has_its_row_of_the_table_and_the_last_row_serves_all_beyond(since: str) -> None:
    scheme = Absolute(Learned(dim=4, length=6, std=1.0), since)
    places = [[5, 5, 5], [0, 1, 2]] if since == "stream" else [[0, 1, 2], [3, 4, 0]]
    assert torch.equal(scheme.embed(STREAM, SEGMENT), scheme.vectors.table[torch.tensor(places)])


def test_table_starts_normal_with_a_row_a_place() -> None:
    torch.manual_seed(0)
    scheme = AbsoluteConfig(length=500, std=0.1).build(dim=6, n_heads=3, head_dim=8)
    assert scheme.vectors.table.shape == (500, 6)
    assert float(scheme.vectors.table.detach().std()) == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("config", [AbsoluteConfig(length=30), SinusoidalConfig()])
def test_one_module_places_the_tokens_and_layers_have_none(config: AbsoluteConfig | SinusoidalConfig) -> None:
    model = awake(small(position=config))
    assert model.position is not None
    assert [block.attention.position for block in model.blocks] == [None, None]
    found = []
    model.blocks[0].register_forward_pre_hook(lambda _, given: found.append(given[0]))
    state = model.init_state(1)
    tokens = text(1, 8)
    read(model, state, tokens, [5, 3])
    place = torch.arange(8)[None]
    expected = model.embedding(tokens) + model.position.embed(place, place)
    torch.testing.assert_close(torch.cat(found, dim=1), expected)


@pytest.mark.parametrize("kind", [AbsoluteConfig, SinusoidalConfig])
def test_a_cached_token_has_the_key_of_its_like_in_the_segment_where_places_count_there(kind: type) -> None:
    found = {}
    for since in ("stream", "segment"):
        model = awake(small(n_layers=1, position=kind(since=since), pools=CACHED))
        keys: list[torch.Tensor] = []
        model.blocks[0].attention.k.register_forward_hook(lambda _, __, out, keys=keys: keys.append(out))
        read(model, model.init_state(1), torch.tensor([[4, 1, 2, 3, 4, 4]]))  # token 4 in place 0 of two segments
        found[since] = torch.allclose(keys[-1][0, 0], keys[-1][0, -1])
    assert found == {"stream": False, "segment": True}


@pytest.mark.parametrize("kind", [AbsoluteConfig, SinusoidalConfig])
def test_places_in_the_segment_are_those_of_its_cuts_however_it_is_fed(kind: type) -> None:
    model = awake(small(position=kind(since="segment"), pools=CACHED))
    whole, single = (read(model, model.init_state(2), text(2, 12), cuts) for cuts in ([5, 5, 2], [1] * 12))
    torch.testing.assert_close(single, whole)
