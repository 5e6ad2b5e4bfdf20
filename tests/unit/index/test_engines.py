"""The vector engines, in what they have in common."""

import importlib
import math

import pytest
import torch
from torch import Tensor

from mnemon.config import Problem
from mnemon.index import exact_search, find_index
from mnemon.pools import KNNConfig

B, H, T, M, D = 2, 3, 5, 60, 8
ENGINES = ["faiss-flat", "faiss-ivf", "faiss-hnsw", "scann"]
every_engine = pytest.mark.parametrize("name", ENGINES)


def drawn(size: int = M) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    q, keys = (torch.randn(B, H, n, D, generator=draw, dtype=torch.float64) for n in (T, size))
    return q, keys


@every_engine
@pytest.mark.parametrize("shape", [None, (M,), (1, M), (T, M), (B, 1, 1, M), (B, 1, T, M), (B, H, T, M)])
def test_few_entries_are_searched_exactly_and_what_is_not_valid_is_left_out(
    name: str, shape: tuple[int, ...] | None
) -> None:
    q, keys = drawn()
    valid = None if shape is None else torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.5
    for found, expected in zip(find_index(name)(q, keys, 4, valid), exact_search(q, keys, 4, valid), strict=True):
        torch.testing.assert_close(found, expected)


@every_engine
def test_fewer_valid_entries_than_asked_for_give_minus_infinity_and_no_unwritten_slot(name: str) -> None:
    q, keys = drawn()
    keys[:, :, 3:] = math.nan
    valid = (torch.arange(M) < 3).expand(B, 1, 1, M).clone()
    valid[1] = False
    scores, ids = find_index(name)(q, keys, 5, valid)
    assert bool((scores[0, ..., :3] > -math.inf).all())
    assert bool((scores[0, ..., 3:] == -math.inf).all())
    assert bool((scores[1] == -math.inf).all())
    assert bool(((ids >= 0) & (ids < M)).all())


@every_engine
def test_what_is_smaller_than_top_k_gives_all_it_has(name: str) -> None:
    for size in (0, 3):
        q, keys = drawn(size)
        scores, ids = find_index(name)(q, keys, 7)
        assert scores.shape == ids.shape == (B, H, T, size)
        assert torch.equal(ids.sort(-1)[0], torch.arange(size).expand(B, H, T, size))


@every_engine
def test_scores_are_in_float32_also_of_keys_in_less(name: str) -> None:
    q, keys = drawn()
    scores, _ids = find_index(name)(q.requires_grad_(), keys.bfloat16(), 7)
    assert scores.dtype == torch.float32
    assert not scores.requires_grad
    assert bool((scores.diff(dim=-1) <= 0).all())


@pytest.mark.parametrize(
    ("name", "least"), [("faiss-ivf", 0.5), ("faiss-ivf:lists=20,probes=20", 1.0), ("faiss-hnsw", 0.9), ("scann", 0.7)]
)
def test_many_entries_are_searched_with_a_recall(name: str, least: float) -> None:
    draw = torch.Generator().manual_seed(0)
    q, keys = (torch.nn.functional.normalize(torch.randn(1, n, 16, generator=draw), dim=-1) for n in (64, 2048))
    best, found = (find_index(index)(q, keys, 16)[1] for index in ("exact", name))
    recall = (found[..., :, None] == best[..., None, :]).any(-1).float().mean().item()
    assert least <= recall <= 1.0


@pytest.mark.parametrize(("name", "module"), [("faiss-hnsw", "faiss"), ("scann", "scann")])
def test_a_missing_package_is_named_with_its_extra_before_anything_is_read(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(wanted: str) -> None:
        raise ModuleNotFoundError(wanted)

    monkeypatch.setattr(importlib, "import_module", missing)
    config = KNNConfig(index=name)
    with pytest.raises(Problem, match=rf"pip install 'mnemon\[{module}\]'"):
        config.build(6, 3, 2, 5, 7, 0)
