import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from mnemon.config import Problem
from mnemon.data.archive import files_of
from mnemon.data.document import Corpus, Document, joined
from mnemon.data.named import Named
from mnemon.data.options import DataConfig
from mnemon.data.splits import divided
from mnemon.data.text import decoded

NAME = "arxiv-math"
MAIN = re.compile(r"^[^%\n]*\\document(class|style)\b", re.MULTILINE)


def read(place: Path, options: DataConfig) -> Corpus:
    """LaTeX source, one document a paper: a folder, or a single `.tex` file, for each.

    The file with `\\documentclass` comes first, then the others by their names. Text that is not UTF-8 is left out.
    """
    skipped: Counter[str] = Counter()
    return divided(NAME, _papers(place, options, skipped), skipped, place)


def _papers(place: Path, options: DataConfig, skipped: Counter[str]) -> Iterator[Document]:
    files = files_of(place)
    papers: dict[str, list[str]] = defaultdict(list)
    for name in files:
        if name.endswith(".tex"):
            papers[name.split("/")[0].removesuffix(".tex")].append(name)
    if not papers:
        raise Problem(f"{place}: no .tex file there, neither one a paper nor one folder a paper")
    for paper, names in papers.items():
        texts = {name: decoded(files[name](), f"{place}/{name}", options.strict, skipped) for name in names}
        parts = [(name, text) for name, text in texts.items() if text is not None]
        parts.sort(key=lambda part: (MAIN.search(part[1]) is None, part[0]))
        if len(parts) == 1:
            yield Document(paper, parts[0][1], str(place), ((0, parts[0][0]),))
        elif parts:
            yield joined(paper, parts, str(place))


ARXIV_MATH = Named(
    name=NAME,
    about="LaTeX source of papers under Mathematics, one document a paper",
    licence="each paper's own",
    origin="https://info.arxiv.org/help/bulk_data.html (unpacked)",
    read=read,
    lines=True,
)
