"""What the plot of each benchmark shows, made of its record."""

from mnemon.report import Chart
from mnemon.studies.pages import Record


def train_chart(found: Record) -> Chart:
    """Tokens a second of each model; what was not measured is left out."""
    speeds = {name: of["tokens_per_second"] for name, of in found["models"].items() if "tokens_per_second" in of}
    return Chart.by_name("Training steps", "tokens a second on one thread: median, lowest and highest", speeds)


def attach_chart(found: Record) -> Chart:
    """Milliseconds of each piece of work by host."""
    took = {
        f"{what}, {who}": {key: 1000 * value for key, value in of.items()}
        for what, each in found["seconds"].items()
        for who, of in each.items()
    }
    return Chart.by_name("What an attached memory costs", "milliseconds: median, lowest and highest", took)


def recall_chart(found: Record) -> Chart:
    """Milliseconds of a search by entries; the legend tells the recall at the largest memory."""
    took = {}
    for name, by_size in found["indexes"].items():
        there = {int(size): of for size, of in by_size.items() if "missing" not in of}
        if there:
            label = f"{name}, {there[max(there)]['recall']:.3f}"
            took[label] = {size: _alone(of["milliseconds"]) for size, of in there.items()}
    unit = f"milliseconds for {found['queries']} queries of one head; after the name its recall at the largest memory"
    return Chart.by_size("What each index costs", unit, "entries", took)


def store_chart(found: Record) -> Chart:
    """Milliseconds of a token by store; after the name its recall."""
    took = {f"{name}, {of['recall']:.3f}": _alone(of["ms_a_token"]) for name, of in found["stores"].items()}
    unit = f"milliseconds a token among {found['size']:,} entries, {found['heads']} heads; after the name its recall"
    return Chart.by_name("What each store takes", unit, took)


def span_chart(found: Record) -> Chart:
    """Milliseconds of a step by tokens kept, the span with its ramp."""
    of = {heads: [row for row in found["rows"] if row["heads"] == heads] for heads in ("all", "one")}
    took = {
        f"{heads} heads" if heads == "all" else "one head": {
            row["kept"]: {key: 1000 * value for key, value in row["seconds"].items()} for row in rows
        }
        for heads, rows in of.items()
    }
    return Chart.by_size("What a shorter attention span saves", "milliseconds a step", "tokens kept", took)


def _alone(value: float) -> dict[str, float]:
    """What was measured once."""
    return {"median": value, "low": value, "high": value}
