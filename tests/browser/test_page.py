import json
from pathlib import Path

import pytest

from mnemon.report import write_page

pytestmark = pytest.mark.browser

EXAMPLE = Path(__file__).parents[1] / "unit" / "report" / "example.json"
WIDTHS = [320, 400, 640, 641, 768, 769, 1280]  # both sides of each change of layout

# Heads of sections and drawings: what they are, how large, and whether they can be seen.
VISIBLE = """
[...document.querySelectorAll('h1, h2, svg.drawing, table.claims, mark')].map(part => ({
  what: part.tagName, text: part.getAttribute('aria-label') || part.textContent,
  width: part.getBoundingClientRect().width, height: part.getBoundingClientRect().height,
  right: part.getBoundingClientRect().right, seen: part.checkVisibility({opacityProperty: true})}))
"""
# Parts that reach beyond the right edge of the screen although no scrolling box holds them.
OVERFLOWING = """
[...document.querySelectorAll('body *')].filter(part => !part.closest('.scroll, svg') && part.checkVisibility()
  && part.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5).map(part => part.outerHTML)
"""
# Text in a drawing that reaches beyond it.
CUT = """
[...document.querySelectorAll('svg.drawing')].filter(drawing => drawing.checkVisibility()).flatMap(drawing =>
  [...drawing.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect(), frame = drawing.getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1
      || box.top < frame.top - 1;
  }).map(text => text.textContent))
"""
# The lowest contrast between a text and the ground it stands on, by the formula of WCAG 2.
CONTRAST = """
(() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d');
  const light = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(c => c / 255).map(
      c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = part => {
    for (; part; part = part.parentElement) {
      const colour = getComputedStyle(part).backgroundColor;
      if (colour !== 'rgba(0, 0, 0, 0)') return colour;
    }
  };
  const found = [];
  for (const part of document.querySelectorAll('body *')) {
    if (![...part.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !part.checkVisibility()) continue;
    const style = getComputedStyle(part), a = light(part instanceof SVGElement ? style.fill : style.color);
    const b = light(ground(part));
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), part.textContent]);
  }
  return found.sort((a, b) => a[0] - b[0])[0];
})()
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page(json.loads(EXAMPLE.read_text(encoding="utf-8")), path)
    return path


@pytest.mark.parametrize("width", WIDTHS)
def test_page_fits_its_screen_and_shows_its_parts(tab, page, width):
    tab.open(page, width)
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.value(OVERFLOWING) == []
    assert tab.value(CUT) == []
    parts = tab.value(VISIBLE)
    hidden = [part for part in parts if not part["seen"] or part["width"] < 2 or part["height"] < 2]
    drawings = [part for part in parts if part["what"] == "svg"]
    assert {part["what"] for part in hidden} == {"svg"}
    assert len(hidden) == len(drawings) / 2  # of each figure the form for other screens
    assert len({part["text"] for part in drawings if part not in hidden}) == len(drawings) / 2


def test_page_complains_of_nothing_and_asks_for_nothing(tab, page):
    tab.open(page, 1280)
    assert tab.complaints() == []
    assert tab.requests() == [page.as_uri()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_text_stands_out_from_its_ground(tab, page, scheme, width):
    tab.open(page, width, scheme)
    lowest, text = tab.value(CONTRAST)
    assert lowest >= 4.5, text


def test_colours_follow_the_theme(tab, page):
    grounds = set()
    for scheme in ("light", "dark"):
        tab.open(page, 1280, scheme)
        grounds.add(tab.value("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2
