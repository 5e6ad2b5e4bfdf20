"""The pages of the documentation, and what stands in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One fenced block: the line it begins on and its text."""

    line: int
    text: str


def pages() -> list[Path]:
    """README, CONTRIBUTING and the pages in docs, as far as they are beside the tests."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [page for page in found if page.exists()]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[Block]:
    """The blocks of one language on a page, in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, found.start(2)) + 1, found[2])
        for found in FENCE.finditer(text)
        if found[1] == language
    ]


def links(page: Path) -> list[str]:
    """Targets of the links to other files of the repository; pictures and the web are left out."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    found = [target.partition("#")[0] for target in LINK.findall(text)]
    return [target for target in found if target and "://" not in target and not target.endswith((".png", ".svg"))]
