from collections.abc import Iterator
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.index import kernel
from mnemon.studies.bench import search
from mnemon.studies.bench.search import FAISS, FRESH, FULL, PRODUCT, Plan, bench_search
from mnemon.studies.bench.search_page import search_chart, search_lines

SMALL = Plan(((2, 20, 1100),), (300,), top_k=4, dim=8, rounds=1)


@pytest.fixture(autouse=True)
def no_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(search, "copy_rate", lambda: 1e9)  # its quarter of a GiB is measured by its own test
    kernel.built.cache_clear()
    yield
    kernel.built.cache_clear()


def test_searches_stand_beside_the_product_and_indexes() -> None:
    found = bench_search(SMALL)
    ours = ["PyTorch, bfloat16 keys", "PyTorch, float32 keys"]
    assert [(of["heads"], of["queries"], of["entries"], of["keys"]) for of in found["many"]] == [
        (2, 20, 1100, "random"),
        (2, 20, 1100, "alike"),
    ]
    for of in found["many"]:
        assert list(of["seconds"]) == [PRODUCT, FRESH, *ours, FULL, FAISS]
        assert of["to_product"][PRODUCT] == {"median": 1, "low": 1, "high": 1}
        assert list(of["faiss_to"]) == ours
        assert all(each["recall"] == 1 and 0 <= each["certified"] <= 1 for each in of["found"].values())
        assert of["floor"] > 0
    for of in found["one"]:
        assert list(of["building"]) == ["faiss-flat", "faiss-ivf", "faiss-hnsw"]
        assert of["recall"]["exact, float32"] == of["recall"]["exact, bfloat16"] == of["recall"]["faiss-flat"] == 1
    lines = search_lines(found)
    assert lines[2].startswith("| 2 x 20 x 1,100, random | product | ")
    assert any("The kernel was not built (`mnemon build-kernels`)." in line for line in lines)
    assert set(search_chart(found).values) == {PRODUCT, FRESH, *ours, FULL, FAISS}


def test_without_faiss_its_rows_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise Problem("this index needs faiss")

    monkeypatch.setattr(search, "pairwise", missing)
    monkeypatch.setattr(search, "ENGINES", dict.fromkeys(search.ENGINE_NAMES, missing))
    found = bench_search(SMALL)
    assert list(found["one"][0]["seconds"]) == ["exact, float32", "exact, bfloat16"]
    assert "- missing: this index needs faiss" in search_lines(found)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(rounds=0), "must each be at least 1"),
        (Plan(keys=("odd",)), "keys odd: give random, alike or both"),
    ],
)
def test_what_does_not_fit_is_said(plan: Plan, message: str) -> None:
    with pytest.raises(Problem, match=message):
        bench_search(plan)
