"""Every entry of a dictionary is among the models that the laws hold for, and keeps the contract of its kind."""

import pytest
import torch

from kinds import ALL_MODELS, MODELS, RECIPE_MODELS, SEARCHED_MODELS, shrunk
from mnemon.index import INDEXES, STORES
from mnemon.model import ModelConfig
from mnemon.pools import POOLS
from mnemon.positions import POSITIONS
from mnemon.recipes import RECIPES
from models import small

# Of 7 neighbours among 40 entries, which are few enough to be compared one by one.
RECALLS = dict.fromkeys(("exact", "bucketed", "faiss-flat", "faiss-ivf", "faiss-hnsw", "scann"), 1.0)


@pytest.mark.parametrize("models", [MODELS, ALL_MODELS], ids=["models", "all models"])
def test_every_pool_position_and_index_is_tested(models: dict[str, ModelConfig]) -> None:
    assert {pool for model in models.values() for pool in POOLS if getattr(model.pools, pool) is not None} == set(POOLS)
    assert {model.position.kind for model in models.values()} == set(POSITIONS)
    searching = [model.pools.knn.index for model in (models | SEARCHED_MODELS).values() if model.pools.knn]
    assert {index.partition(":")[0] for index in searching} == INDEXES.keys() | STORES.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_tested_in_all_but_its_size(name: str) -> None:
    assert shrunk(RECIPES[name]().model) in RECIPE_MODELS.values()


@pytest.mark.parametrize("name", POSITIONS)
def test_scores_depend_on_distances_alone(name: str) -> None:
    torch.manual_seed(0)
    scheme = POSITIONS[name]().build(dim=12, n_heads=3, head_dim=4).double()
    q = torch.randn(2, 3, 1, 4, dtype=torch.float64)
    k = torch.randn(2, 3, 7, 4, dtype=torch.float64)

    def scores(here: int) -> torch.Tensor:
        query, offset = torch.tensor([here]), torch.arange(here - 7, here)
        bias = scheme.bias(q, here - offset)
        content = scheme.rotate(scheme.query(q), query) @ scheme.rotate(k, offset).mT
        return content if bias is None else content + bias

    torch.testing.assert_close(scores(0), scores(29))


@pytest.mark.parametrize("name", [name for name in POSITIONS if name != "none"])
def test_distances_make_a_difference(name: str) -> None:
    plain, placed = (small(position=POSITIONS[kind]()).build(seed=1) for kind in ("none", name))
    if name == "transformer-xl":
        for block in placed.blocks:
            block.attention.position.v.data.normal_()
    placed.load_state_dict(plain.state_dict(), strict=False)
    tokens = torch.tensor([[1, 2, 3, 4, 5]])
    swapped = torch.tensor([[2, 1, 3, 4, 5]])
    for model, differs in ((plain, False), (placed, True)):
        first, second = (model(x, model.init_state(1))[0].hidden[0, -1] for x in (tokens, swapped))
        assert not torch.equal(first, second) if differs else True
    assert not torch.allclose(
        placed(tokens, placed.init_state(1))[0].hidden[0, -1], plain(tokens, plain.init_state(1))[0].hidden[0, -1]
    )


def test_every_index_has_a_recall_to_keep() -> None:
    assert RECALLS.keys() == INDEXES.keys()


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_finds_the_best_first_and_never_an_unwritten_slot(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    q, keys = torch.randn(2, 3, 5, 4, generator=draw), torch.randn(2, 3, 50, 4, generator=draw)
    keys[:, :, 40:] = torch.nan
    valid = (torch.arange(50) < 40).expand(2, 1, 1, 50)
    scores, ids = INDEXES[name](q, keys, 7, valid)
    assert scores.shape == ids.shape == (2, 3, 5, 7)
    assert bool((ids < 40).all())
    assert bool((scores.diff(dim=-1) <= 0).all())
    torch.testing.assert_close(scores, (q @ keys.mT).gather(-1, ids))
    best = (q @ keys[:, :, :40].mT).topk(7)[1]
    recall = (ids[..., :, None] == best[..., None, :]).any(-1).float().mean().item()
    assert recall >= RECALLS[name]
