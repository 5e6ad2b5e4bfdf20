import re

import matplotlib
import pytest

from mnemon.report import parse_results
from mnemon.report.figures import COLOURS, NARROW, WIDE, draw


def test_each_figure_is_drawn_for_wide_and_narrow_pages(values):
    drawn = draw(parse_results(values))
    assert list(drawn) == ["memory", "position", "gates", "training"]
    for wide, narrow in drawn.values():
        assert f'viewBox="0 0 {WIDE} ' in wide
        assert f'viewBox="0 0 {NARROW} ' in narrow


def test_figures_use_the_colours_of_the_page_only(values):
    for drawings in draw(parse_results(values)).values():
        for drawing in drawings:
            assert not re.findall(r"(?:fill|stroke): (?!none|var\(--)[^;\"]+", drawing)
            assert not any(colour in drawing for colour in COLOURS)


def test_lines_bear_their_names_and_values(values):
    drawn = draw(parse_results(values))
    for text in ("memorizing-tiny", "1.610", "transformer-xl-tiny", "1.659", "32,768", "512"):
        assert f">{text}</text>" in drawn["memory"][0]
    for text in ("memorizing-tiny, 1.610", "transformer-xl-tiny, 1.659", "32k"):
        assert f">{text}</text>" in drawn["memory"][1]
    for text in ("layer 2, head 1", "0.71", "memory only"):
        assert f">{text}</text>" in drawn["gates"][0]


def test_figures_say_in_words_what_they_show(values):
    drawn = draw(parse_results(values))
    assert "memorizing-tiny: 1.646 at no memory, 1.632 at memory 512" in drawn["memory"][0]
    assert "memorizing-tiny, memory 32,768: 2.311 from token 0" in drawn["position"][0]
    assert "memorizing-tiny, layer 2: 0.06, 0.71, 0.05, 0.34" in drawn["gates"][0]
    assert "Training loss in nats per token. memorizing-tiny: from " in drawn["training"][0]


def test_figures_without_data_are_left_out(bare):
    assert list(draw(parse_results(bare))) == ["memory"]


def test_gates_of_several_models_bear_the_names_of_their_models(values):
    values["models"]["transformer-xl-tiny"]["gates"] = {"0": [0.5]}
    for drawing in draw(parse_results(values))["gates"]:
        texts = re.findall(">([^<]+)</text>", drawing)
        assert texts.index("memorizing-tiny") < texts.index("layer 2, head 0")
        assert texts.index("transformer-xl-tiny") < texts.index("layer 0, head 0")


def test_dollar_signs_are_no_formulas(values):
    values["models"]["a $x^2$ b"] = values["models"].pop("memorizing-tiny")
    assert ">a $x^2$ b</text>" in draw(parse_results(values))["memory"][0]


@pytest.mark.filterwarnings("error")
def test_settings_of_the_user_change_nothing(values):
    drawn = draw(parse_results(values))
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "red", "font.size": 30}):
        assert draw(parse_results(values)) == drawn
