import pytest

from mnemon.report import parse_results
from mnemon.report.curves import position_curves


def test_first_model_stands_with_and_without_memory_the_others_once(values):
    values["models"]["other"] = values["models"]["memorizing-tiny"]
    curves = position_curves(parse_results(values))
    assert [(curve.place, curve.label, curve.largest) for curve in curves] == [
        (0, "memorizing-tiny\nmemory 32,768", True),
        (0, "memorizing-tiny\nno memory", False),
        (1, "other\nmemory 32,768", True),
        (2, "transformer-xl-tiny", True),
    ]


def test_gain_is_taken_where_both_have_the_range(values):
    bins = values["models"]["transformer-xl-tiny"]["by_position"]["0"]
    del bins[2]
    best, _, other = position_curves(parse_results(values))
    gain = other.gain_of(best)
    assert [each.start for each, _ in gain] == [each["from"] for each in bins]
    assert gain[0][1] == pytest.approx(bins[0]["bits_per_byte"] - best.bins[0].bits_per_byte)
