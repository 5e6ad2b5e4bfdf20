from mnemon.report.svg import inline

DRAWING = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9pt" viewBox="0 0 9 9">
 <metadata><x/></metadata>
 <defs><style type="text/css">*{}</style><path id="m1" d="M 0 0"/></defs>
 <g id="figure_1" clip-path="url(#p2)"><use xlink:href="#m1" style="stroke: #010101"/></g>
 <clipPath id="p2"><rect/></clipPath>
 <text style="font-size: 9px; font-family: 'DejaVu Sans', serif; fill: #010101">a &lt; b #m1</text>
</svg>"""


def test_drawing_becomes_part_of_a_page():
    drawn = inline(DRAWING, "one", 'a "label" & more', {"#010101": "var(--ink)"})
    assert drawn.startswith(
        '<svg viewBox="0 0 9 9" class="drawing" role="img" aria-label="a &quot;label&quot; &amp; more"'
    )
    for gone in ("http", "metadata", "<style", "font-family", "figure_1", "xlink", "#010101"):
        assert gone not in drawn
    for kept in (
        '<path id="one-m1"',
        'href="#one-m1"',
        'clip-path="url(#one-p2)"',
        '<clipPath id="one-p2">',
        "stroke: var(--ink)",
        "font-size: 9px; fill: var(--ink)",
        "a &lt; b #m1",
    ):
        assert kept in drawn
