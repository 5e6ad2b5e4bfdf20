from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from mnemon.config import Problem, nearest
from mnemon.data import Document, load_corpus
from mnemon.data.text import read_text
from mnemon.evaluate import Inspection, inspect
from mnemon.report import check_extra, check_free, write_inspection
from mnemon.studies.workers import Progress
from mnemon.train import Run

SHOWN = 12  # names listed where one is missing


@dataclass(frozen=True)
class Inspected:
    """An inspection, and the page that shows it."""

    found: Inspection
    page: Path


def inspect_run(  # a run, what it reads, with which memory, and where to
    run: Run,
    out: Path,
    file: Path | None = None,
    document: str | None = None,
    other: Path | None = None,
    memory: int | None = None,
    max_tokens: int | None = None,
    progress: Progress = lambda phase, done, total, said: None,
) -> Inspected:
    """Inspect a file, or a document of the run's test split by name, and write `inspection.json` and a page to `out`.

    `other`: a file whose text fills the memory of the control; by default the test document that is next longer.
    `memory` and `max_tokens`: as in `evaluate.inspect`.
    """
    check_extra()
    check_free(out)
    if file is not None and document is not None:
        raise Problem(f"{file} and document {document!r}: give one of them")
    remembers = run.config.model.pools.knn is not None and memory != 0
    tests: Sequence[Document] = []
    if file is None or (remembers and other is None):
        progress("reading the corpus", 0, 1, "")
        tests = load_corpus(run.config.data.source, run.config.data).test
        progress("reading the corpus", 1, 1, "")
    asked = _named(tests, document) if file is None else _file(file)
    stranger = None
    if remembers:
        stranger = another(tests, asked) if other is None else _file(other)
    options = {} if max_tokens is None else {"max_tokens": max_tokens}
    precision = run.config.train.precision
    said = with_rate(progress)
    found = inspect(run.model, asked, run.tokenizer, stranger, memory, precision, on_progress=said, **options)
    facts = {"recipe": run.config.recipe, "trained on": run.config.data.source}
    return Inspected(found, write_inspection(found, out, run.folder.resolve().name, facts))


def another(documents: Sequence[Document], than: Document) -> Document:
    """The shortest document that is at least as long as this one, else the longest; never the document itself."""
    rest = [each for each in documents if each.id != than.id and each.text != than.text]
    if not rest:
        raise Problem(f"{than.id}: the test split has no other document to fill a memory with; give one: --other FILE")
    longer = [each for each in rest if len(each.text) >= len(than.text)]
    return min(longer, key=lambda each: len(each.text)) if longer else max(rest, key=lambda each: len(each.text))


def _named(documents: Sequence[Document], name: str | None) -> Document:
    known = [each.id for each in documents]
    if name is None:
        listed = ", ".join(known[:SHOWN]) + (", ..." if len(known) > SHOWN else "")
        raise Problem(f"nothing to inspect: give a FILE, or --document with one of the test split: {listed or 'none'}")
    for each in documents:
        if each.id == name:
            return each
    raise Problem(f"document {name!r}: not in the test split of this run's corpus{nearest(name, known)}")


def _file(path: Path) -> Document:
    text = read_text(path, True, Counter())
    if not text:
        raise Problem(f"{path}: empty; give a text to read")
    return Document(path.name, text)


def with_rate(progress: Progress) -> Callable[[str, int, int], None]:
    """What `inspect` says of its readings, with their speed."""
    begun: dict[str, float] = {}

    def note(reading: str, done: int, total: int) -> None:
        since = begun.setdefault(reading, perf_counter())
        took = perf_counter() - since
        progress(reading, done, total, f"{done / took:,.0f} tokens/s" if took else "")

    return note
