"""A table of models as Markdown, made from the records of its cells alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnemon.evaluate import Scored
from mnemon.studies.cell import recorded
from mnemon.studies.compare import compare, mean_over_seeds
from mnemon.studies.grid import Claim, Grid, Row
from mnemon.studies.pages import row as line

UNITS = {"perplexity": "perplexity per token", "bits_per_byte": "bits per byte"}


@dataclass(frozen=True)
class Found:
    """What the records say of one row on one corpus: a record for each seed that was run."""

    row: Row
    records: Sequence[Mapping[str, Any]]

    def values(self, metric: str) -> list[float]:
        """The metric of each seed."""
        return [each["memory"][str(self.row.memory)][metric] for each in self.records]

    def mean(self, metric: str) -> float:
        """Mean over seeds; of perplexities the geometric one, which is that of the mean loss."""
        values = self.values(metric)
        return math.exp(float(np.mean(np.log(values)))) if metric == "perplexity" else float(np.mean(values))

    def scored(self) -> list[Scored]:
        """The documents, each with its loss in one sum, averaged over seeds."""
        readings = []
        for each in self.records:
            documents = each["memory"][str(self.row.memory)]["documents"]
            readings.append(
                [
                    Scored(name, np.zeros(1, np.int64), np.array([nats], np.float64), np.array([size]))
                    for name, nats, _, size in documents
                ]
            )
        return mean_over_seeds(readings)


def paired(a: Found, b: Found) -> tuple[Found, Found]:
    """Both rows with the records of those seeds alone that both were run with."""
    seeds = {each["seed"] for each in a.records} & {each["seed"] for each in b.records}
    first, second = ([each for each in one.records if each["seed"] in seeds] for one in (a, b))
    return Found(a.row, first), Found(b.row, second)


def found_rows(
    rows: Sequence[Row], corpus: str, records: Path, seeds: int, steps: int | None, fingerprint: str | None = None
) -> list[Found]:
    """The rows of a table on one corpus with their records, those of one state of the corpus only."""
    all_found = []
    for row in rows:
        cells = [row.cell(corpus, corpus, seed, steps) for seed in range(seeds if row.claimed else 1)]
        kept = [record for record in (recorded(records, cell) for cell in cells) if record is not None]
        kept = [record for record in kept if str(row.memory) in record["memory"]]
        if fingerprint is None and kept:
            fingerprint = kept[0]["corpus"]["fingerprint"]
        all_found.append(Found(row, [each for each in kept if each["corpus"]["fingerprint"] == fingerprint]))
    return all_found


def grid_page(grid: Grid, rows: Sequence[Row], corpora: Sequence[str], records: Path, said: Mapping[str, Any]) -> str:
    """Our figures beside the published ones, corpus by corpus, with claims, seeds, settings and the command."""
    by_corpus = {name: found_rows(rows, name, records, said["seeds"], said["steps"]) for name in corpora}
    run = sum(bool(each.records) for found in by_corpus.values() for each in found)
    parts = [f"# {grid.title}", "", grid.asks, "", f"{run} of {len(rows) * len(corpora)} rows run."]
    for name, found in by_corpus.items():
        if any(each.records for each in found):
            parts += ["", *_corpus_lines(grid, name, found)]
    parts += ["", "## How it was made", "", *(f"- {note}" for note in grid.notes)]
    shown = [record for found in by_corpus.values() for each in found for record in each.records]
    return "\n".join([*parts, *_made(shown, said), ""])


def _corpus_lines(grid: Grid, name: str, found: Sequence[Found]) -> list[str]:
    stands = grid.stands_for.get(name)
    some = next(each.records[0] for each in found if each.records)
    sets = dict.fromkeys(name for each in found for name in each.row.published)
    published = stands if stands in sets else next(iter(sets), None)
    corpus = some["corpus"]
    about = "; ".join(str(corpus[key]) for key in ("what", "origin", "licence") if key in corpus)
    title = f"## {name}" + (f", in the place of {stands}" if stands else "")
    lines = [title, "", f"{about}. Fingerprint `{corpus['fingerprint']}`."]
    if "md5" in corpus:
        lines += ["md5: " + ", ".join(f"{file} `{digest}`" for file, digest in corpus["md5"].items()) + "."]
    both = ["bits per byte"] if grid.metric == "perplexity" else []
    heads = ["row", UNITS[grid.metric], "spread", "seeds", *both, "change", "steps"]
    heads += [f"published ({published})", "published change"] if published else []
    lines += ["", line(heads), line(["---"] * len(heads))]
    places = {each.row.name: each for each in found}
    lines += [_row_line(grid, each, places, published, len(heads)) for each in found]
    claims = [claim for claim in grid.claims if paired(places[claim.lower], places[claim.higher])[0].records]
    return lines + (_claim_lines(claims, places) if claims else [])


def _row_line(grid: Grid, each: Found, places: Mapping[str, Found], published: str | None, width: int) -> str:
    row, against = each.row, places.get(each.row.against or "")
    figure = row.published.get(published or "")
    if not each.records:
        cells = [row.name, "not run", *[""] * (5 if grid.metric == "perplexity" else 4)]
    else:
        values = each.values(grid.metric)
        spread = f"{min(values):.3f} to {max(values):.3f}" if len(values) > 1 else ""
        change = ""
        if against is not None:
            mine, other = paired(each, against)
            change = _change(mine.mean(grid.metric), other.mean(grid.metric), grid) if mine.records else ""
        cells = [row.name, f"{each.mean(grid.metric):.3f}", spread, str(len(values))]
        cells += [f"{each.mean('bits_per_byte'):.4f}"] if grid.metric == "perplexity" else []
        cells += [change, f"{each.records[0]['steps']:,}"]
    if width > len(cells):
        base = None if against is None else against.row.published.get(published or "")
        cells += [f"{figure:.2f}" if figure else "", _change(figure, base, grid) if figure and base else ""]
    return line(cells)


def _change(value: float, base: float, grid: Grid) -> str:
    """Relative for perplexities, as the paper gives it; a difference for bits."""
    return f"{100 * (value / base - 1):+.1f} %" if grid.metric == "perplexity" else f"{value - base:+.3f}"


def _claim_lines(claims: Sequence[Claim], places: Mapping[str, Found]) -> list[str]:
    lines = ["", line(["claim", "bits per byte", "95 % interval", "seeds", "holds"]), line(["---"] * 5)]
    for claim in claims:
        lower, higher = paired(places[claim.lower], places[claim.higher])
        found = compare(claim.text, claim.text, lower.scored(), higher.scored())
        low, high = found["interval"]
        seeds = str(len(lower.records))
        interval = f"{low:+.4f} to {high:+.4f}"
        lines.append(
            line([claim.text, f"{found['bits_per_byte']:+.4f}", interval, seeds, "yes" if found["holds"] else "no"])
        )
    return lines


def _made(shown: Sequence[Mapping[str, Any]], said: Mapping[str, Any]) -> list[str]:
    """Parameters, tokens, machines and the command."""
    if not shown:
        return [f"- Command: `{said['command']}`."]
    sizes, tokens = ({each[key] for each in shown} for key in ("params", "tokens"))
    machines = sorted({f"{each['machine']['processor']}, torch {each['machine']['torch']}" for each in shown})
    dates = sorted({each["machine"]["date"] for each in shown})
    days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return [
        f"- Parameters: {min(sizes):,} to {max(sizes):,}. Training tokens: {min(tokens):,} to {max(tokens):,}.",
        "- Evaluated on unseen test documents, read from their beginning; intervals are 95 % paired bootstrap "
        "intervals over documents, or over 32 consecutive parts where the corpus is one stream, of the mean over "
        "the seeds that both rows have; so are changes.",
        *(f"- {name}, one thread a run; {days}." for name in machines),
        f"- Command: `{said['command']}`. This page is written by it from the records in `records/cells`.",
    ]
