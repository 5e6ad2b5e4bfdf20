from collections.abc import Sequence
from math import exp
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mnemon.config import write_text
from mnemon.report import wording
from mnemon.report.figures import draw
from mnemon.report.pages import environment
from mnemon.report.results import Comparison, Results, parse_results


def check_extra() -> None:
    """Returns: the optional extra `report` is installed. Call it before work whose results go into a page."""


def write_page(results: dict[str, Any], path: Path) -> None:
    """Write `results` (see `Results`) as one HTML page that needs nothing else: no network, no script."""
    write_text(path, render(parse_results(results)))


def render(results: Results) -> str:
    """The page as text; the same results give the same bytes."""
    pages = environment()
    pages.filters |= {"exp": exp, "memory": wording.memory, "visible": wording.visible, "verdict": wording.verdict}
    return pages.get_template("page.html").render(
        results=results,
        models=results.ordered,
        figures={name: [Markup(svg) for svg in widths] for name, widths in draw(results).items()},
        summary=wording.summary(results),
        fairness=wording.fairness(list(results.models.values())),
        sizes=sorted({size for model in results.models.values() for size in model.memories}),
        intervals=_intervals(results.comparisons),
        bins=_bins(results),
        facts=_facts(results),
    )


def _intervals(comparisons: Sequence[Comparison]) -> list[dict[str, float]]:
    """Where each interval lies on a common scale that shows 0, in percent of its width."""
    ends = [end for comparison in comparisons for end in comparison.interval] + [0.0]
    low, span = min(ends), (max(ends) - min(ends)) or 1.0

    def place(value: float) -> float:
        return round(4 + 92 * (value - low) / span, 2)

    return [
        {
            "zero": place(0.0),
            "low": place(comparison.interval[0]),
            "width": round(place(comparison.interval[1]) - place(comparison.interval[0]), 2),
            "at": min(max(place(comparison.bits_per_byte), 0.0), 100.0),
        }
        for comparison in comparisons
    ]


def _bins(results: Results) -> dict[tuple[int, int], dict[str, Any]]:
    """Rows of the table of losses by position: (from, to) -> tokens and loss of each curve, by its name."""
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    for name, model in results.ordered.items():
        for size, bins in model.positions.items():
            for each in bins:
                row = rows.setdefault((each.start, each.to), {"tokens": each.tokens, "loss": {}})
                row["loss"][name, size] = each.bits_per_byte
    return dict(sorted(rows.items()))


def _facts(results: Results) -> dict[str, list[tuple[str, str]]]:
    """The tables at the end of the page: title -> rows. Each section of the settings has its own."""
    corpus = results.corpus
    counted = {"documents": corpus.documents, "bytes": corpus.bytes}
    tables = {
        "Corpus": [
            ("name", corpus.name),
            ("fingerprint", corpus.fingerprint),
            *((f"{what}.{part}", wording.count(number)) for what, of in counted.items() for part, number in of.items()),
            *wording.flat(corpus.further),
        ],
        "Environment": list(wording.flat(results.environment)),
        "Seconds taken": [(phase, wording.decimal(seconds, 1)) for phase, seconds in results.seconds.items()],
        "Settings": list(wording.flat({k: v for k, v in results.settings.items() if not isinstance(v, dict)})),
    }
    for name, values in results.settings.items():
        if isinstance(values, dict):
            tables[f"Settings: {name}"] = list(wording.flat(values))
    return {title: rows for title, rows in tables.items() if rows and rows != [("", "none")]}
