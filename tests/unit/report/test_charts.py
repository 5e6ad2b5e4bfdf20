import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mnemon.report import Chart, write_chart
from mnemon.report.charts import COLOURS, draw_chart
from mnemon.report.figures import COLOURS as PLACEHOLDERS
from mnemon.report.figures import SERIES


def spread(median: float) -> dict[str, float]:
    return {"median": median, "low": 0.9 * median, "high": 1.2 * median}


BARS = Chart.by_name("One step", "milliseconds", {"no memory": spread(12.34), "full $memory$": spread(1234.5)})
LINES = Chart.by_size(
    "One token",
    "milliseconds a token",
    "remembered tokens",
    {"memory": {65_536: spread(2.0), 8192: spread(1.0)}, "full cache": {8192: spread(40.0)}, "nothing": {}},
)


def texts(svg: str) -> list[str]:
    return re.findall(">([^<>]+)</text>", svg)


@pytest.mark.parametrize("chart", [BARS, LINES], ids=["bars", "lines"])
def test_a_chart_stands_alone_and_is_the_same_each_time(chart: Chart, tmp_path: Path) -> None:
    write_chart(chart, tmp_path / "chart.svg")
    drawn = (tmp_path / "chart.svg").read_text()
    assert drawn == draw_chart(chart)
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert {chart.title, chart.unit} <= set(texts(drawn))
    assert not any(colour in drawn for colour in PLACEHOLDERS)
    assert COLOURS[SERIES[0]] in drawn


def test_bars_bear_their_names_and_medians() -> None:
    assert {"no memory", "12.3", "full $memory$", "1,234"} <= set(texts(draw_chart(BARS)))


def test_lines_bear_names_and_sizes_and_what_was_not_measured_is_left_out() -> None:
    found = texts(draw_chart(LINES))
    assert {"memory", "full cache", "8,192", "65,536", "remembered tokens"} <= set(found)
    assert "nothing" not in found


def test_values_far_apart_stand_on_a_logarithmic_axis() -> None:
    near = Chart.by_size("t", "u", "s", {"a": {1: spread(1.0), 2: spread(2.0)}})
    assert "0" in texts(draw_chart(near))
    assert "0" not in texts(draw_chart(LINES))
