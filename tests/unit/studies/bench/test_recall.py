import importlib

import pytest
import torch

from mnemon.config import Problem
from mnemon.studies import bench_recall
from mnemon.studies.bench.recall import recall


def test_each_index_is_measured_at_each_size() -> None:
    told = []
    found = bench_recall(
        ("exact", "bucketed:buckets=8"), (100, 300), 8, 16, 6, progress=lambda *said: told.append(said)
    )
    assert found["indexes"]["exact"]["300"]["recall"] == 1.0
    assert 0.4 < found["indexes"]["bucketed:buckets=8"]["100"]["recall"] < 0.9
    assert found["indexes"]["exact"]["100"]["milliseconds"] > 0
    assert [done for _, done, _, _ in told] == [0, 1, 2, 3]
    assert (found["sizes"], found["top_k"], found["environment"]["torch"]) == ([100, 300], 8, torch.__version__)


def test_recall_is_the_share_of_the_best_that_was_found() -> None:
    best = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert recall(torch.tensor([[4, 9, 1], [0, 1, 5]]), best) == 3 / 8
    assert recall(best.flip(1), best) == 1.0


def test_a_missing_engine_is_told_and_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    found = bench_recall(("faiss-hnsw", "exact"), (50,), 4, 3, 6)
    assert "pip install 'mnemon[faiss]'" in found["indexes"]["faiss-hnsw"]["50"]["missing"]
    assert found["indexes"]["exact"]["50"]["recall"] == 1.0


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(Problem, match="at least 1"):
        bench_recall(("exact",), (0,))
    with pytest.raises(Problem, match="no such index"):
        bench_recall(("exat",), (10,))
