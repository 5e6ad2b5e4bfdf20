import shutil
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.studies.faults import bench_faults
from mnemon.studies.faults.acts import ACTS
from mnemon.studies.faults.bench import faults_chart, faults_lines
from mnemon.studies.faults.children import Child
from mnemon.studies.faults.kit import Kit
from mnemon.studies.faults.plan import FOLDERS, SERVER, STORES, Fault, pairs, plan


def test_nothing_is_lost_and_nothing_comes_back() -> None:
    """A small share of what `mnemon bench faults` does."""
    told: list[int] = []
    found = bench_faults(
        21,
        seed=15,  # a seed whose first faults, of folders and of stores, are of all kinds
        progress=lambda phase, done, total, said: told.append(done),
    )
    assert found["failed"] == []
    assert found["total"]["well"] == found["total"]["struck"] > 15
    assert told == list(range(22))
    assert {each["kind"] for each in found["faults"]} == {*FOLDERS.kinds, *STORES.kinds}
    shown = "\n".join(faults_lines({**found, "failed": [{"number": 7, "wrong": ["lost: a"]}]}))
    assert f"| in all | {found['total']['struck']} | {found['total']['struck']} |" in shown
    assert "- Fault 7 failed: lost: a." in shown
    assert faults_chart(found).title == "Faults after which all was well"


def test_a_plan_mixes_all_kinds_and_is_drawn_from_its_seed() -> None:
    faults = plan(360, 0)
    assert {(each.kind, each.target) for each in faults} == {pair for pair in pairs() if pair[1] != SERVER}
    with_server = plan(360, 0, server=True)
    assert with_server[:360] == faults
    assert {(each.kind, each.target) for each in with_server} == {*pairs()}
    assert faults == plan(360, 0)
    assert faults != plan(360, 1)
    assert len({each.seed for each in faults}) == 360


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return Kit(tmp_path_factory.mktemp("kit"))


@pytest.mark.parametrize(
    ("kind", "name"), [("kill", "train"), ("full", "train"), ("power", "train and save beside"), ("kill", "remember")]
)
def test_what_is_struck_goes_on_to_the_same_end(kit: Kit, kind: str, name: str) -> None:
    outcome = kit.carry_out(Fault(0, kind, name, 5))
    assert outcome.struck is not None
    assert outcome.wrong == ()


def test_what_fails_without_a_fault_is_said(tmp_path: Path) -> None:
    refused = Child(ACTS["forget"].run, tmp_path).end()
    failed = Child(shutil.copytree, tmp_path).end()  # type: ignore[arg-type]  # which no function can be copied to
    assert (refused.status, refused.steps, "no memory here" in refused.said) == (2, 0, True)
    assert (failed.status, failed.steps) == (1, 0)


def test_a_plan_without_faults_and_a_fault_that_is_not_in_it_are_refused() -> None:
    for count, only in ((0, None), (5, 5)):
        with pytest.raises(Problem, match="at least 1 fault"):
            bench_faults(count, only=only)
