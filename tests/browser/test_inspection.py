import json
import time
from pathlib import Path

import pytest

from browser.test_page import CONTRAST, OVERFLOWING
from inspections import HOSTILE, large, small
from mnemon.report import write_inspection
from mnemon.report.inspection import render

pytestmark = pytest.mark.browser

SELECTED = "document.querySelector('.t.sel')?.dataset.t"
RINGED = "[...document.querySelectorAll('.t.n')].map(part => Number(part.dataset.t))"
PANEL = "document.getElementById('panel').textContent"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    return write_inspection(small(), tmp_path_factory.mktemp("inspection"), "my run", {"recipe": "tiny"})


@pytest.fixture(scope="module")
def values(page) -> dict:
    return json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def long_page(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("large") / "inspection.html"
    path.write_text(render(large(), {}), encoding="utf-8")
    return path


def press(tab, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        tab.call(
            "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=13 if key == "Enter" else 0
        )


def click(tab, selector: str) -> None:
    """A real click of the mouse in the middle of a part of the page."""
    tab.value("blocks.slice(0, 3).forEach(fill)")  # what is in view fills itself, a moment later
    tab.value(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
    box = tab.value(
        f"(r => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector({selector!r}).getClientRects()[0])"
    )
    for kind in ("mousePressed", "mouseReleased"):
        tab.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)


def test_a_click_selects_a_token_and_rings_what_it_remembered(tab, page, values) -> None:
    tab.open(page, 1280)
    token = 100
    click(tab, f"[data-t='{token}']")
    assert tab.value(SELECTED) == str(token)
    found = [entry[0] for entry in values["tokens"]["found"][token]]
    start = values["tokens"]["start"]
    assert {start[one] for one in tab.value(RINGED)} == {
        start[one] for one in found
    }  # bytes of a character share a ring
    assert tab.value("[...document.querySelectorAll('#panel .found button')].map(b => Number(b.dataset.to))") == found
    said = tab.value(PANEL)
    head = values["heads"][values["tokens"]["found"][token][0][1]]
    for text in (
        f"token {token}",
        f"line {values['tokens']['line'][token]} ",
        f"{token - found[0]} tokens before",
        f"layer {head['layer']} head {head['head']}",
        "another document",
    ):
        assert text in said


def test_the_first_tokens_say_that_the_memory_is_empty(tab, page) -> None:
    tab.open(page, 1280)
    click(tab, "[data-t='3']")
    assert "the memory was still empty" in tab.value(PANEL)
    assert tab.value(RINGED) == []


def test_a_neighbour_leads_to_its_place(tab, long_page) -> None:
    tab.open(long_page, 1280)
    tab.value("select(12000)")
    far = min(tab.value("data.tokens.found[12000].map(entry => entry[0])"))
    before = tab.value("reader.scrollTop")
    click(tab, f"#panel [data-to='{far}']")
    assert tab.value("reader.scrollTop") < before
    top, bottom, low, high = tab.value(
        f"(a => (b => [a.top, a.bottom, b.top, b.bottom])(reader.getBoundingClientRect()))"
        f"(document.querySelector('[data-t=\"{far}\"]').getBoundingClientRect())"
    )
    assert low <= top
    assert bottom <= high
    assert tab.value(SELECTED) == "12000", "what was chosen stays chosen"


def test_keys_move_from_token_to_token_and_to_what_was_remembered(tab, page, values) -> None:
    tab.open(page, 1280)
    click(tab, "[data-t='100']")
    press(tab, "ArrowRight")
    at = int(tab.value(SELECTED))
    assert at > 100
    press(tab, "ArrowLeft")
    press(tab, "ArrowLeft")
    assert int(tab.value(SELECTED)) < 100
    line = values["tokens"]["line"][int(tab.value(SELECTED))]
    press(tab, "ArrowDown")
    assert values["tokens"]["line"][int(tab.value(SELECTED))] != line
    press(tab, "Enter")
    assert tab.value(
        "document.activeElement.closest('#panel') !== null && document.activeElement.dataset.to !== undefined"
    )
    press(tab, "Escape")
    assert tab.value("document.activeElement.id") == "reader"


def test_the_text_is_shown_as_it_stands(tab, page, values) -> None:
    """Filled blocks and blocks that wait show the same text, with nothing of it taken for markup."""
    tab.open(page, 1280)
    wanted = values["text"].split("\n")
    rows = "[...document.querySelectorAll('.line')].map(row => row.textContent.replace('\\u200b', ''))"
    assert tab.value(rows) == wanted
    assert HOSTILE.strip("\n") in wanted
    tab.value("blocks.forEach(fill)")
    assert tab.value(rows) == wanted
    assert tab.value("[...document.querySelectorAll('.file')].map(part => part.textContent)") == values["files"]
    numbers = tab.value("[...document.querySelectorAll('.line')].map(row => Number(row.dataset.line))")
    second = wanted.index("# c.py")
    assert numbers[1:second] == list(range(1, second))  # lines are counted in their file, behind its heading
    assert numbers[second + 1 : second + 3] == [1, 2]


def test_colours_follow_the_chosen_reading(tab, page, values) -> None:
    tab.open(page, 1280)
    nats = values["tokens"]["nats"]
    for reading in ("none", "shuffled", "other"):
        tab.value(f"document.querySelector('[value={reading}]').click()")
        for token in (40, 100, 150):
            gain = (nats[reading][token] - nats["memory"][token]) / 0.6931471805599453
            classes = tab.value(f"document.querySelector('[data-t=\"{token}\"]').className").split()
            wanted = "" if abs(gain) < 0.25 else "g" if gain > 0 else "b"
            assert {name[0] for name in classes if name[-1].isdigit()} == set(wanted), (reading, token, gain)
    tab.value("document.querySelector('[value=loss]').click()")
    assert tab.value("document.body.dataset.colours") == "loss"


def test_a_long_document_opens_and_answers_quickly(tab, long_page) -> None:
    begun = time.perf_counter()
    tab.open(long_page, 1280)
    assert tab.value("blocks.length") > 50
    opened = time.perf_counter() - begun
    assert tab.value("document.querySelectorAll('.t').length") < 4000, "only what is near is made of tokens"
    took = tab.value(
        "(() => { const a = performance.now(); [9, 6000, 12287].forEach(select); return performance.now() - a; })()"
    )
    assert opened < 10
    assert took / 3 < 500


@pytest.mark.parametrize("width", [320, 400, 832, 833, 1280])
def test_page_fits_its_screen(tab, page, width) -> None:
    tab.open(page, width)
    assert tab.value("document.documentElement.scrollWidth") <= width
    over = tab.value(OVERFLOWING)
    assert [part for part in over if "block" not in part and 'class="t' not in part] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["none", "loss"])
def test_text_stands_out_from_its_ground(tab, page, scheme, kind) -> None:
    tab.open(page, 1280, scheme)
    tab.value(f"document.querySelector('[value={kind}]').click()")
    lowest, text = tab.value(CONTRAST)
    assert lowest >= 4.5, text


def test_page_complains_of_nothing_and_asks_for_nothing(tab, page) -> None:
    tab.open(page, 1280)
    click(tab, "[data-t='100']")
    assert tab.complaints() == []
    assert tab.requests() == [page.as_uri()]


def test_a_page_without_memory_works_too(tab, tmp_path) -> None:
    tab.open(write_inspection(small("transformer-xl"), tmp_path, "run"), 1280)
    assert tab.complaints() == []
    click(tab, "[data-t='100']")
    assert "chance" in tab.value(PANEL)
    assert "looked at" not in tab.value(PANEL)
