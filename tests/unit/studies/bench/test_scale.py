from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mnemon.config import Problem
from mnemon.studies.bench import scale
from mnemon.studies.bench.scale import Plan, bench_scale, form_of, needed_bytes, sizes_of
from mnemon.studies.bench.scale_merge import merge_times
from mnemon.studies.bench.scale_model import Fit, Machines, Shape, deviations, fitted, forecast, latency
from mnemon.studies.bench.scale_page import scale_chart, scale_lines, scale_table, term

SHAPE = Shape(heads=4, dim=64, top_k=32, number=4)
NOTHING = Fit("m", 0.0, 0.0)
ALONE = Machines(ram_gib=64, share=0.5, round_trip_ms=2.0, gigabits=8, within_ms=50)
SIZES = (1_000, 10_000, 100_000)


def test_figures_that_follow_the_terms_are_told_exactly() -> None:
    for form, points in (
        ("m", {m: 2 + 0.001 * m for m in SIZES}),
        ("log2 m", {2**n: 0.5 + 0.25 * n for n in (10, 14, 20)}),
    ):
        fit = fitted(form, points)
        assert [fit.at(m) for m in points] == pytest.approx(list(points.values()))
        assert max(deviations(form, points).values()) == pytest.approx(0.0, abs=1e-9)


def test_a_size_that_bends_the_line_is_seen_when_it_is_left_out() -> None:
    off = deviations("m", {1_000: 1.0, 2_000: 2.0, 4_000: 8.0})
    assert off["largest_left_out"] == pytest.approx(0.5), "4 is told where 8 was measured"
    assert off["left_out"] >= off["largest_left_out"] > off["fitted"] > 0


def test_one_machine_needs_no_network_and_more_search_their_part() -> None:
    search, merge = Fit("m", 1.0, 0.001), Fit("m", 0.1, 0.01)
    assert latency(search, merge, SHAPE, 10_000, 1, ALONE) == pytest.approx(11)
    best, rate = 4 * 32, 1e6  # what all heads find; bytes a millisecond
    one = 2 + 10 * best * (12 + 512) / rate
    assert latency(search, merge, SHAPE, 10_000, 10, ALONE) == pytest.approx(2 + one + 0.2)
    assert latency(search, merge, SHAPE, 10_000, 10, replace(ALONE, layers=3)) == pytest.approx(3 * (2 + one + 0.2))


def test_many_shards_send_scores_first() -> None:
    best, rate = 4 * 32, 1e6
    assert SHAPE.answers_ms(1_000, ALONE) == pytest.approx(4 + best * (12_000 + 512) / rate)


def test_a_total_needs_machines_that_hold_it_and_more_to_be_in_time() -> None:
    (found,) = forecast(Fit("m", 1.0, 1e-5), NOTHING, SHAPE, 2**10, [2**27], ALONE)
    assert found["bytes"] == 2**37
    assert found["machines"] == 4, "half of 64 GiB each"
    assert found["ms_a_token"] > 300
    enough = found["within"]
    assert enough["ms_a_token"] <= 50
    fewer = latency(Fit("m", 1.0, 1e-5), NOTHING, SHAPE, 2**27, int(enough["machines"]) - 1, ALONE)
    assert fewer > 50, "no fewer would do"


def test_what_no_number_of_machines_reaches_is_said() -> None:
    (found,) = forecast(Fit("m", 60.0, 1e-5), NOTHING, SHAPE, 2**10, [2**27], ALONE)
    assert found["within"] is None
    (found,) = forecast(Fit("log2 m", 1.0, 0.1), NOTHING, SHAPE, 2**10, [2**20], ALONE)
    assert found["within"] == {"machines": 1, "ms_a_token": pytest.approx(3.0)}


def test_slow_tiers_are_measured_at_as_many_sizes_each_smaller() -> None:
    assert sizes_of("mmap", scale.SIZES) == [16_384, 65_536, 262_144, 1_048_576]
    assert sizes_of("faiss-hnsw:links=8", scale.SIZES) == [4_096, 16_384, 65_536, 262_144]
    assert sizes_of("milvus:index=flat", [1_024, 2_048, 4_096]) == [1_024, 2_048, 4_096]


def test_graphs_grow_with_the_logarithm_and_all_others_with_the_entries() -> None:
    assert [form_of(tier) for tier in ("faiss-hnsw", "milvus:index=hnsw")] == ["log2 m"] * 2
    assert {form_of(tier) for tier in (*scale.TIERS, "milvus:index=ivf") if tier != "faiss-hnsw"} == {"m"}


def test_what_no_process_shows_is_counted_too() -> None:
    assert needed_bytes("exact", SHAPE, 2056) == 2056
    assert needed_bytes("mmap", SHAPE, 10) == 10 + 4 * 64 * 4
    assert needed_bytes("milvus:uri=http://127.0.0.1:1", SHAPE, 0) == 4 * (64 * 4 + 344 + 24)


def test_merging_more_shards_takes_longer() -> None:
    took = merge_times(Shape(2, 8, 4, 4))
    assert took[1024] > took[2] > 0


@pytest.mark.usefixtures("in_this_process")
def test_two_tiers_are_measured_fitted_and_told(tmp_path: Path) -> None:
    plan = Plan(
        ("exact", "mmap", "milvus:uri=http://127.0.0.1:9"), (64, 128, 256), (1e6,), 2, 8, 4, 3, pair=0, folder=tmp_path
    )
    found = bench_scale(plan)
    assert list(tmp_path.iterdir()) == []
    for tier in ("exact", "mmap"):
        of = found["tiers"][tier]
        assert list(of["sizes"]) == ["64", "128", "256"]
        assert of["sizes"]["256"]["recall"] == 1.0
        assert of["sizes"]["256"]["file_bytes"] >= 256 * (2 * 2 * 8 * 4 + 8)
        assert of["totals"][0]["machines"] >= 1
    assert "nothing answers there" in found["tiers"]["milvus:uri=http://127.0.0.1:9"]["missing"]
    lines = scale_lines(found)
    assert any(line.startswith("| mmap | 1,000,000 |") for line in lines)
    assert any("was not measured: milvus http://127.0.0.1:9: nothing answers there" in line for line in lines)
    assert list(scale_chart(found).values) == ["exact", "mmap"]


def test_the_table_asks_for_a_server_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plans: list[Plan] = []

    def measured(plan: Plan, progress: object) -> dict[str, Any]:
        plans.append(plan)
        return {}

    monkeypatch.setattr("mnemon.studies.bench.scale_page.bench_scale", measured)
    scale_table(tmp_path, 1, [0], lambda *_: None, "http://127.0.0.1:19530")
    assert plans[0].tiers[-1].startswith("milvus:uri=http://127.0.0.1")
    assert max(plans[0].sizes) == 1_048_576


def test_terms_are_written_as_formulas() -> None:
    assert term({"form": "m", "a": 0.5, "b": 0.002}) == "0.5 + 2 m / 1000"
    assert term({"form": "log2 m", "a": 0.5, "b": 0.25}) == "0.5 + 0.25 log2 m"


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(("exact",), (64, 128)), "at least 3, each at least top_k, 32"),
        (Plan(("exact",), (8, 64, 128)), "at least 3, each at least top_k, 32"),
        (Plan(("exakt",)), "did you mean 'exact'"),
        (Plan(totals=(0,)), "totals and layers must be at least 1"),
        (Plan(machines=Machines(share=1.5)), "share of memory at most 1"),
    ],
)
def test_what_cannot_be_told_is_one_line(plan: Plan, message: str) -> None:
    with pytest.raises(Problem, match=message):
        bench_scale(plan)
