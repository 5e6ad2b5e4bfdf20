import itertools
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from math import exp

import pytest

from mnemon.config import Problem
from mnemon.report import check_extra, parse_results, write_page
from mnemon.report.page import render
from mnemon.report.wording import count, decimal, percent, signed, visible

VOID = {"meta", "link", "br", "wbr"}


class Page(HTMLParser):
    """The text a reader sees, and the skeleton of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.shown = ""
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "svg"} & set(self.open):
            self.shown += data


def page_of(values) -> Page:
    return Page(render(parse_results(values)))


def test_dots_of_each_seed_are_told_where_there_are_several(values):
    assert all(len(model["seeds"]) > 1 for model in values["models"].values())
    assert "each seed (hollow dots" in page_of(values).shown
    for model in values["models"].values():
        model["seeds"], model["per_seed"] = model["seeds"][:1], model["per_seed"][:1]
    shown = page_of(values).shown
    assert "hollow" not in shown
    assert "A dashed line carries" in shown


def test_every_value_is_shown(values):
    shown = page_of(values).shown
    for name, model in values["models"].items():
        wanted = [name, count(model["params"]), count(model["tokens"])]
        for losses in (
            model["bits_per_byte"],
            model["nats_per_token"],
            *(s["bits_per_byte"] for s in model["per_seed"]),
        ):
            wanted += [decimal(loss) for loss in losses.values()]
        for size in {"0", max(model["by_position"], key=int)}:
            for each in model["by_position"][size]:
                wanted += [
                    count(each["from"]),
                    count(each["to"]),
                    count(each["tokens"]),
                    decimal(each["bits_per_byte"]),
                ]
        assert [text for text in wanted if text not in shown] == []
    for comparison in values["comparisons"]:
        low, high = comparison["interval"]
        for text in (comparison["name"], comparison["text"], f"{signed(low)} to {signed(high)}"):
            assert text in shown
        assert signed(comparison["bits_per_byte"]) in shown
    for found in values["helped"]:
        assert percent(exp(-found["loss_without"])) in shown
        assert percent(exp(-found["loss_with"])) in shown
        for each in (found, *found["passages"]):
            assert each["before"] + visible(each["token"]) + each["after"] in shown
            assert f"{each['file']}:{each['line']}" in shown
        for passage in found["passages"]:
            assert percent(passage["weight"]) in shown
            where = f"in {passage['document']}, layer {passage['layer']}, head {passage['head']}"
            assert f"{where}, {count(passage['age'])} tokens ago" in shown


def test_facts_and_limits_are_shown(values):
    shown = page_of(values).shown
    for text in (*values["does_not_show"], *values["method"], values["command"], "b3d1f0a2c4e65788", "3,108,814"):
        assert text in shown
    for text in ("Settings: train", "knn.top_k", "0.9, 0.95", "Linux x86_64", "341.7", "abacus-core", "tie_head"):
        assert text in shown


def test_page_is_well_formed(values):
    page = page_of(values)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    for _, attributes in page.tags:
        pointed = attributes.get("aria-labelledby") or (attributes.get("href") or "").removeprefix("#")
        assert not pointed or pointed in page.ids or pointed == "data:,"


def test_headings_descend_one_step_at_a_time(values):
    levels = [int(tag[1]) for tag, _ in page_of(values).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


def test_figures_have_text_alternatives_and_tables_have_headers(values):
    tags = page_of(values).tags
    drawings = [attributes for tag, attributes in tags if tag == "svg"]
    assert len(drawings) == 8
    assert all(drawing["role"] == "img" and len(drawing["aria-label"] or "") > 40 for drawing in drawings)
    assert all("scope" in attributes for tag, attributes in tags if tag == "th")


def test_page_loads_nothing_and_runs_nothing(values):
    text = render(parse_results(values))
    page = Page(text)
    assert not {"script", "img", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert "src" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith(("#", "data:,"))
    assert "http" not in text.replace("http-equiv", "")
    assert "@import" not in text
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    "text", ["</script><script>alert(1)</script>", '"><img src=x onerror=1>', "a & b &lt; </code>"]
)
def test_hostile_text_stays_text(values, text):
    found = values["helped"][0]
    for place in (found, found["passages"][0]):
        place |= {"document": text, "file": text, "before": text, "token": text, "after": text}
    values["comparisons"][0] |= {"name": text, "text": text}
    values["models"][text] = values["models"].pop("memorizing-tiny")
    values["corpus"] |= {"name": text, text: text}
    values["settings"][text] = {text: [text]}
    values["seconds"][text] = 1.0
    values["does_not_show"] = values["method"] = [text]
    values["command"] = text
    page = page_of(values)
    assert page.shown.count(text) > 20
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert page.open == []


def test_same_results_give_the_same_bytes(values, tmp_path):
    write_page(values, tmp_path / "here.html")
    program = (
        "import json, pathlib, sys; from mnemon.report import write_page;"
        "write_page(json.loads(pathlib.Path(sys.argv[1]).read_text(encoding='utf-8')), pathlib.Path(sys.argv[2]))"
    )
    example = os.path.join(os.path.dirname(__file__), "example.json")
    subprocess.run(
        [sys.executable, "-c", program, example, tmp_path / "there.html"],
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1"},
    )
    assert (tmp_path / "here.html").read_bytes() == (tmp_path / "there.html").read_bytes()


def test_page_of_the_least_results_says_what_is_missing(bare):
    shown = page_of(bare).shown
    assert "No comparison was made." in shown
    assert "No token was looked at one by one." in shown
    assert "that is an omission, not a claim" in shown
    assert "make demo" in shown


def test_wrong_results_write_no_page(values, tmp_path):
    with pytest.raises(Problem, match="is newer than"):
        write_page(values | {"format": 99}, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_results_are_left_as_they_were(values, tmp_path):
    before = repr(values)
    write_page(values, tmp_path / "page.html")
    assert repr(values) == before


def test_extra_is_installed_here():
    check_extra()


@pytest.mark.parametrize("absent", ["jinja2", "matplotlib"])
@pytest.mark.parametrize("call", ["check_extra()", "write_page({}, None)"])
def test_missing_extra_is_named(absent, call):
    program = (
        f"import sys; sys.modules['{absent}'] = None\n"
        "from mnemon.config import Problem\n"
        "from mnemon.report import check_extra, parse_results, write_page\n"
        f"try: {call}\n"
        "except Problem as problem: print(problem)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "pip install 'mnemon[report]'" in done.stdout
