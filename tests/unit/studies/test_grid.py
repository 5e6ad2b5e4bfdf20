import json
import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tiny
from mnemon.config import Problem, read_json
from mnemon.data import make_tokenizer
from mnemon.pools import KNNConfig
from mnemon.studies import GRIDS, Asked, corpora_of, reproduce
from mnemon.studies.cell import Cell, recorded, run_cell, tokenizer_file
from mnemon.studies.grid import Claim, Grid, Row, missing, run_grid, wanted
from mnemon.studies.grid_page import Found, grid_page, paired
from mnemon.studies.reproduce import write_result_page
from mnemon.train import RunConfig, TrainConfig, load_run
from mnemon.train.config import dealt

STEPS = 6


def quiet(phase: str, done: int, total: int, said: str) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    draws = random.Random(0)
    for split, count in (("train", 3), ("valid", 1), ("test", 2)):
        rows = [{"id": f"{split}{i}", "text": " ".join(draws.choices(tiny.NAMES, k=2700))} for i in range(count)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "stats.json").write_text('{"licence": "of our own making", "what": "names"}')
    return folder


def config(kind: str = "transformer-xl", **changes: Any) -> RunConfig:
    """A run of a few steps on bytes."""
    train = TrainConfig(steps=STEPS, lanes=2, checkpoint_every=3, warmup=0)
    data = tiny.DataConfig(tokenizer="bytes")
    return RunConfig(recipe=kind, model=tiny.model(kind, segment=512, window=128), data=data, train=train).replace(
        **changes
    )


PLAIN = Row("no memory", config(), published={"PG-19": 4.0}, claimed=True)
WITH = Row("memory 48", config("memorizing"), 48, against="no memory", published={"PG-19": 3.0})
TUNED = Row("tuned", config("memorizing", train__steps=2), 48, PLAIN, "no memory")
GRID = Grid(
    "A table",
    "What is asked?",
    "perplexity",
    lambda scale: [PLAIN, WITH, TUNED],
    (Claim("More is better.", "memory 48", "no memory"),),
    {"names": "PG-19"},
    ("A note.",),
)


def test_a_cell_is_named_by_what_matters_and_by_nothing_else() -> None:
    cell = Cell(config(), "names")
    assert cell.key == Cell(config(recipe="renamed", data__source="elsewhere"), "names").key
    others = [
        Cell(config(), "other"),
        Cell(config(train__seed=1), "names"),
        Cell(config(train__steps=7), "names"),
        Cell(config("memorizing"), "names"),
        Cell(config(model__pools__knn=KNNConfig(layers=(0,))), "names"),
        Cell(config(), "names", start=cell),
    ]
    assert len({each.key for each in [cell, *others]}) == 1 + len(others)


def test_claimed_rows_get_every_seed_and_shared_cells_every_size() -> None:
    larger = Row("read with 96", WITH.config, 96)
    cells = wanted([PLAIN, WITH, larger], {"names": "here", "more": "there"}, seeds=2)
    assert [(each.cell.corpus, each.cell.config.train.seed, each.sizes) for each in cells] == [
        ("names", 0, (0,)),
        ("names", 0, (48, 96)),
        ("names", 1, (0,)),
        ("more", 0, (0,)),
        ("more", 0, (48, 96)),
        ("more", 1, (0,)),
    ]
    assert cells[0].cell.config.data.source == "here"


def test_a_cell_stops_when_the_time_is_over_and_goes_on_to_the_same_figures(texts: Path, tmp_path: Path) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    cell = WITH.cell("names", str(texts), seed=0)
    for out in (straight, broken):
        _shared_tokenizer(cell, out)
    assert run_cell(cell, (48,), straight, straight / "records", time.time() + 600, quiet)

    ticks = iter([0.0, 0.0, 0.0, 0.0, 1e12])

    def late() -> float:
        return next(ticks, 1e12)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnemon.studies.cell.time", SimpleNamespace(time=late))
        assert not run_cell(cell, (48,), broken, broken / "records", 1.0, quiet)
    assert recorded(broken / "records", cell) is None
    assert 0 < len((broken / cell.key / "metrics.jsonl").read_text().splitlines()) < STEPS
    assert run_cell(cell, (0, 48), broken, broken / "records", time.time() + 600, quiet)
    first, second = (recorded(out / "records", cell) for out in (straight, broken))
    assert first is not None
    assert second is not None
    assert second["memory"]["48"] == first["memory"]["48"]
    assert first["corpus"]["licence"] == "of our own making"
    assert set(first["corpus"]["md5"]) == {"train.jsonl", "valid.jsonl", "test.jsonl"}
    assert str(texts) not in json.dumps(first)
    # A size asked for later is added without another training.
    before = (straight / cell.key / "metrics.jsonl").read_bytes()
    assert run_cell(cell, (0, 48), straight, straight / "records", time.time() + 600, quiet)
    again = recorded(straight / "records", cell)
    assert again is not None
    assert again["memory"] == second["memory"]
    assert (straight / cell.key / "metrics.jsonl").read_bytes() == before


def _shared_tokenizer(cell: Cell, out: Path) -> None:
    make_tokenizer(cell.config.data, []).save(tokenizer_file(out, cell))


def test_nothing_is_begun_when_the_time_is_over(texts: Path, tmp_path: Path) -> None:
    cell = PLAIN.cell("names", str(texts), seed=0)
    assert not run_cell(cell, (0,), tmp_path, tmp_path / "records", 0.0, quiet)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(600)
def test_a_table_is_run_once_and_shown_beside_the_published_figures(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GRIDS, "ours", GRID)
    said: list[str] = []
    docs = tmp_path / "docs"
    cells = wanted(GRID.rows("tiny"), {"names": str(texts)}, seeds=2)
    records = docs / "records" / "cells"
    assert run_grid(cells, tmp_path / "runs", records, 5, quiet, workers=1) == 0
    assert missing(cells, records) == []
    # The tuned row began with the weights of its start, whose every parameter it has.
    start, tuned = (load_run(tmp_path / "runs" / row.cell("names", "", 0).key).model for row in (PLAIN, TUNED))
    assert "blocks.1.attention.gate" in dict(tuned.named_parameters())
    assert set(dict(start.named_parameters())) < set(dict(tuned.named_parameters()))

    def note(phase: str, *_: Any) -> None:
        said.append(phase)

    asked = Asked(budget=1, seeds=2, data={"names": str(texts)}, scale="tiny", workers=1)
    page = reproduce("ours", tmp_path / "runs", docs, asked, note).read_text(encoding="utf-8")
    assert said == []  # everything was recorded
    assert "3 of 3 rows run." in page
    assert "names, in the place of PG-19" in page
    values = [recorded(records, PLAIN.cell("names", "", seed)) for seed in (0, 1)]
    first, second = (each["memory"]["0"]["perplexity"] for each in values if each is not None)
    plain = next(line for line in page.splitlines() if line.startswith("| no memory |"))
    assert f"| {(first * second) ** 0.5:.3f} | {min(first, second):.3f} to {max(first, second):.3f} | 2 |" in plain
    assert plain.endswith("| 4.00 |  |")
    assert next(line for line in page.splitlines() if line.startswith("| memory 48 |")).endswith("| 3.00 | -25.0 % |")
    assert "| More is better. |" in page
    assert "`mnemon reproduce ours --data names=PATH --seeds 2`" in page
    index = read_json(docs / "records" / "ours.json")
    assert index["corpora"] == ["names"]
    (docs / "ours.md").unlink()
    assert write_result_page(docs, "ours").read_text(encoding="utf-8") == page


def test_a_corpus_that_is_not_there_leaves_nothing_behind(tmp_path: Path) -> None:
    cells = wanted([PLAIN], {"names": str(tmp_path / "nowhere")}, seeds=1)
    with pytest.raises(Problem, match="nowhere"):
        run_grid(cells, tmp_path / "runs", tmp_path / "records", 1, quiet)
    assert list(tmp_path.iterdir()) == []


def test_rows_are_compared_over_the_seeds_that_both_have() -> None:
    def record(seed: int, perplexity: float) -> dict[str, Any]:
        return {"seed": seed, "memory": {"0": {"perplexity": perplexity}}}

    one, both = Found(PLAIN, [record(1, 3.0)]), Found(PLAIN, [record(0, 100.0), record(1, 4.0)])
    first, second = paired(one, both)
    assert [each.values("perplexity") for each in (first, second)] == [[3.0], [4.0]]
    assert [list(each.records) for each in paired(one, Found(PLAIN, []))] == [[], []]


def test_a_page_says_what_was_not_run(tmp_path: Path) -> None:
    said = {"seeds": 1, "steps": None, "command": "mnemon reproduce ours"}
    page = grid_page(GRID, GRID.rows("tiny"), ["names"], tmp_path, said)
    assert "0 of 3 rows run." in page
    assert "mnemon reproduce ours" in page


@pytest.mark.parametrize("scale", ["tiny", "paper"])
@pytest.mark.parametrize("name", list(GRIDS))
def test_every_row_of_every_table_is_a_model_that_can_be_built(name: str, scale: Any) -> None:
    grid = GRIDS[name]
    rows = grid.rows(scale)
    names = [row.name for row in rows]
    assert len(set(names)) == len(names) > 1
    for row in rows:
        assert row.against is None or row.against in names
        assert not row.published or set(row.published) <= {*PUBLISHED}
        cell = row.cell("names", "names", 0)
        knn = cell.config.model.pools.knn
        assert knn is not None or row.memory == 0
        assert cell.config.train.steps > 1
    for claim in grid.claims if scale == "tiny" else ():
        assert {claim.lower, claim.higher} <= set(names)
    keys = [(row.cell("names", "", 0).key, row.memory) for row in rows]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("scale", ["tiny", "paper"])
def test_every_row_of_the_main_table_has_as_many_tokens_a_step(scale: Any) -> None:
    configs = [row.config for row in GRIDS["B-main"].rows(scale)]
    tokens = {dealt(config.train, config.model.segment).lanes * config.model.segment for config in configs}
    assert tokens == {1024 if scale == "tiny" else 2**17}


PUBLISHED = ("arXiv", "PG-19", "C4(4K+)", "GitHub", "Isabelle", "enwik8", "text8", "WikiText-103")


def test_corpora_are_named_or_named_by_their_path() -> None:
    assert corpora_of(["python-env", "books=some/where", "a/novels.jsonl.xz"]) == {
        "python-env": "python-env",
        "books": "some/where",
        "novels": "a/novels.jsonl.xz",
    }
    with pytest.raises(Problem, match="named twice"):
        corpora_of(["books=a", "b/books"])
    with pytest.raises(Problem, match="NAME=SOURCE"):
        corpora_of(["books="])
