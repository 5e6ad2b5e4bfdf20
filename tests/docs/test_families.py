"""The families that the page on attaching lists are those that there are."""

import re

from doc_pages import ROOT
from mnemon.hosts.support import FAMILIES, REFUSED, Family

ROW = re.compile(r"^\| (.+) \| `([\w-]+)` \| (.+) \|$", re.MULTILINE)
REASON = re.compile(r"^\| `([\w-]+)` \| (.+) \|$", re.MULTILINE)
POSITIONS = {
    "none": "absolute",
    "halves": "rotary",
    "mirrored": "rotary, the other way round",
    "pairs": "rotary, interleaved",
}


def positions(row: Family) -> str:
    return POSITIONS[row.rotation] + ("" if row.turned == "all" else "; some layers have none")


def test_the_page_lists_every_family_and_every_refusal() -> None:
    page = (ROOT / "docs" / "attach.md").read_text().partition("## Families")[2]
    assert ROW.findall(page)[1:] == [(row.title, kind, positions(row)) for kind, row in FAMILIES.items()]
    listed = dict(REASON.findall(page))
    assert {kind: listed[kind] for kind in REFUSED} == REFUSED
