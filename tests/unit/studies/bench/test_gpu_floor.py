import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mnemon.config import Problem
from mnemon.studies.bench.gpu_floor import CARDS, Plan, bench_gpu_floor, gpu_floor_chart
from mnemon.studies.bench.gpu_kernels import compiled

COMPILE = "import json; from mnemon.studies.bench.gpu_kernels import compiled; print(json.dumps(compiled(2, 16)))"


def test_a_larger_memory_has_a_higher_floor() -> None:
    rows = bench_gpu_floor()["rows"]
    assert [row["memory"] for row in rows] == [0, 8192, 65_536, 262_144]
    assert rows[0]["ratio"] == rows[0]["ratio_at_share"] == 1.0
    assert all(small["ratio"] < large["ratio"] for small, large in itertools.pairwise(rows))
    assert all(row["seconds"] < row["at_share"] for row in rows)


def test_the_floor_is_counted_work_over_the_rates_of_the_data_sheet() -> None:
    found = bench_gpu_floor(Plan(memories=[65_536]))
    row = found["rows"][1]
    tokens, heads, dim = 512, 8, 128
    assert row["pieces"]["search"] == 2 * tokens * heads * dim * 65_536 / CARDS["h200"].products
    assert row["pieces"]["neighbours"] == 2 * 2 * 2 * tokens * heads * dim * 32 / CARDS["h200"].traffic
    assert row["bytes_a_lane"] == 2 * 2 * heads * dim * 65_536
    assert row["seconds"] == sum(row["pieces"].values())


def test_a_slower_memory_gives_a_higher_floor() -> None:
    slow, fast = (bench_gpu_floor(Plan(card=name))["rows"][0]["seconds"] for name in ("h100", "h200"))
    assert slow > fast


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Plan(card="h20"), "no data sheet of such a card"),
        (Plan(share=0.0), "above 0"),
        (Plan(recipe="vanilla"), "no kNN memory"),
        (Plan(memories=[8]), "at least top_k"),
        (Plan(lanes=0), "at least one lane"),
    ],
)
def test_what_cannot_be_reasoned_on_is_said(plan: Plan, said: str) -> None:
    with pytest.raises(Problem, match=said):
        bench_gpu_floor(plan)


def test_the_chart_has_a_line_for_the_floor_and_one_for_the_share() -> None:
    assert len(gpu_floor_chart(bench_gpu_floor()).values) == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are not interpreted where there is a GPU")
def test_kernels_that_are_interpreted_are_not_compiled() -> None:
    with pytest.raises(Problem, match="TRITON_INTERPRET"):
        bench_gpu_floor(compiles=True)
    with pytest.raises(Problem, match="TRITON_INTERPRET"):
        compiled(2, 16)


def test_every_kernel_compiles_for_hopper_and_keeps_its_numbers_in_registers(tmp_path: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    said = subprocess.run(
        [sys.executable, "-c", COMPILE],
        env={**plain, "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = json.loads(said)
    assert len(found) == 5
    assert all(each["spilled_bytes"] == 0 and 0 < each["registers"] <= 255 for each in found)
