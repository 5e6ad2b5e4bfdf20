from collections.abc import Sequence
from pathlib import Path

from mnemon.report import Chart
from mnemon.studies.bench.scale import TIERS, Plan, bench_scale
from mnemon.studies.pages import Record, row
from mnemon.studies.workers import Progress

MEASURED = ("tier", "entries", "ms a token", "of them processor", "us to write", "recall", "MiB, peak", "MiB, files")
FITTED = (
    "tier",
    "ms a token, m entries",
    "off",
    "left out",
    "from smaller ones",
    "bytes, peak",
    "off",
    "bytes, files",
    "bytes needed",
)
TOLD = ("tier", "tokens", "GiB", "machines", "ms a token", "machines in time", "ms there")


def measured_rows(found: Record) -> list[tuple[str, ...]]:
    """What each tier took at each size."""
    return [
        (
            tier,
            f"{int(size):,}",
            f"{each['ms_a_token']:,.2f}",
            f"{each['cpu_ms_a_token']:,.2f}",
            f"{each['write_us']:,.1f}",
            f"{each['recall']:.3f}",
            f"{each['peak_mib']:,.0f}",
            f"{each['file_bytes'] / 2**20:,.0f}",
        )
        for tier, of in _there(found).items()
        for size, each in of["sizes"].items()
    ]


def fitted_rows(found: Record) -> list[tuple[str, ...]]:
    """The terms of each tier, and how far off they are."""
    return [
        (
            tier,
            term(of["time"]),
            *(f"{of['time']['off'][name]:.0%}" for name in ("fitted", "left_out", "largest_left_out")),
            f"{of['memory']['b']:,.0f}",
            f"{of['memory']['off']['fitted']:.0%}",
            f"{of['file']['b']:,.0f}",
            f"{of['bytes_needed']:,.0f}",
        )
        for tier, of in _there(found).items()
    ]


def told_rows(found: Record) -> list[tuple[str, ...]]:
    """What each total needs in each tier."""
    return [
        (
            tier,
            f"{each['tokens']:,.0f}",
            f"{each['bytes'] / 2**30:,.0f}",
            f"{each['machines']:,}",
            _ms(each["ms_a_token"]),
            *(("none", "") if (enough := each["within"]) is None else _enough(enough)),
        )
        for tier, of in _there(found).items()
        for each in of["totals"]
    ]


def term(fit: Record) -> str:
    """`0.31 + 0.0912 m / 1000`, or `0.31 + 0.12 log2 m`."""
    if fit["form"] == "m":
        return f"{fit['a']:.3g} + {1000 * fit['b']:.3g} m / 1000"
    return f"{fit['a']:.3g} + {fit['b']:.3g} {fit['form']}"


def missing_lines(found: Record) -> list[str]:
    """Which tiers were not measured, and why."""
    return [f"{tier} was not measured: {of['missing']}" for tier, of in found["tiers"].items() if "missing" in of]


def pair_lines(found: Record) -> list[str]:
    """What two processes took, beside what was told of them."""
    if (of := found["pair"]) is None:
        return []
    parts, told = (
        ", ".join(f"{name} {took:.2f}" for name, took in of[key].items() if name != "search" or key == "told_parts")
        for key in ("parts", "told_parts")
    )
    return [
        f"two processes with half of {of['entries']:,} entries each: {of['measured_ms']:.2f} ms a token, told "
        f"{of['told_ms']:.2f} ms ({of['told_ms'] / of['measured_ms'] - 1:+.0%}); one process with all: "
        f"{of['one_process_ms']:.2f}; of the best of all they found {of['same']:.3f}",
        f"of that measured: {parts}, where the slower one searched for {of['parts']['search']:.2f}; told: {told}",
    ]


def scale_line(found: Record) -> str:
    """What was measured, and for which machines the rest is told."""
    of = found["machines"]
    layers = "one layer" if of["layers"] == 1 else f"{of['layers']} layers"
    return (
        f"{layers} of {found['heads']} heads of size {found['dim']}, {found['dtype']}, top {found['top_k']}; machines "
        f"of {of['ram_gib']:g} GiB, {of['share']:.0%} of it for entries, {of['round_trip_ms']:g} ms and "
        f"{of['gigabits']:g} Gbit/s apart; in time: within {of['within_ms']:g} ms a token"
    )


def scale_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress, milvus: str) -> Record:
    """`bench_scale` as a table of `reproduce`, with a server where one answers; nothing is trained."""
    return bench_scale(Plan((*TIERS, f"milvus:uri={milvus},index=flat")), progress)


def scale_lines(record: Record) -> list[str]:
    """What was measured, what was fitted to it, what more tokens need."""
    lines = [scale_line(record) + ".", ""]
    for head, rows in ((MEASURED, measured_rows), (FITTED, fitted_rows), (TOLD, told_rows)):
        lines += [row(head), row(["---"] * len(head)), *map(row, rows(record)), ""]
    merge = record["merge"]
    return [
        *lines,
        "How it was made:",
        "",
        *(f"- {line[0].upper()}{line[1:]}." for line in pair_lines(record)),
        *(f"- {line}." for line in missing_lines(record)),
        "- Each store was filled by one process and opened by another, on one thread. A token: all its heads searched, "
        "and what was found attended to; median of so many tokens, one at a time.",
        "- Off: largest relative deviation of the fit. Left out: the same where each size in turn has no part in the "
        "fit. From smaller ones: of the largest size, told by the others.",
        "- What more tokens need is told by these terms: no total and no machine of the last table was measured, and "
        "an approximate index may find less among more entries. docs/scale.md has formulas and assumptions.",
        f"- The best of s shards are merged in {merge['a']:.3g} + {merge['b']:.3g} s ms, which is off by at most "
        f"{merge['off']['fitted']:.0%}.",
    ]


def scale_chart(found: Record) -> Chart:
    """Milliseconds of a token by entries, measured."""
    took = {
        tier: {int(size): dict.fromkeys(("median", "low", "high"), each["ms_a_token"]) for size, each in of.items()}
        for tier, of in ((tier, of["sizes"]) for tier, of in _there(found).items())
    }
    unit = f"milliseconds a token, {found['heads']} heads"
    return Chart.by_size("One token against the memory, by tier", unit, "entries", took)


def _there(found: Record) -> Record:
    return {tier: of for tier, of in found["tiers"].items() if "missing" not in of}


def _enough(enough: Record) -> tuple[str, str]:
    return f"{enough['machines']:,}", _ms(enough["ms_a_token"])


def _ms(took: float) -> str:
    return f"{took:,.1f}" if took < 100 else f"{took:,.0f}"
