import io
import re
from pathlib import Path

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from mnemon.config import write_text
from mnemon.report.chart import Chart
from mnemon.report.figures import INK, LINE, MUTED, PAPER, RULE, SERIES, STYLE, WIDE

# A figure that stands alone has no page whose theme it could follow.
COLOURS = {INK: "#1d1d1b", MUTED: "#5f5f5a", RULE: "#dededa", PAPER: "#ffffff"} | dict(
    zip(SERIES, ("#0b5cad", "#b3470a", "#0f7a4d", "#8a3ffc", "#a8236b", "#6a5d00"), strict=True)
)
DASHES = ("-", "--", ":", "-.")  # of a further round through the colours
FAR = 30  # times from the lowest to the highest median; beyond, the values' axis is logarithmic


def write_chart(chart: Chart, path: Path) -> None:
    """Write `chart` as an SVG that needs nothing else."""
    write_text(path, draw_chart(chart))


def draw_chart(chart: Chart) -> str:
    """The SVG as text; the same figures give the same bytes."""
    with style.context(["default", STYLE | {"figure.facecolor": PAPER}]):
        figure = Figure()
        if chart.across is None:
            _bars(figure, chart)
        else:
            _lines(figure, chart, chart.across)
        page = io.StringIO()
        figure.savefig(page, format="svg", dpi=72, metadata={"Date": None, "Title": chart.title})
    swap = re.compile("|".join(COLOURS))
    # A point is drawn as a pixel: so it is as wide as a column of text.
    whole = re.sub(r'(?<=(?:dth|ght)=")([\d.]+)pt(?=")', r"\1", page.getvalue(), count=2)
    return swap.sub(lambda match: COLOURS[match.group()], whole)


def _bars(figure: Figure, chart: Chart) -> None:
    """One bar a name up to its median, and a line from the lowest to the highest value."""
    names = list(chart.values)
    left, right, high = 14 + 7.4 * max(map(len, names), default=0), 84, LINE * len(names)
    axes = _axes(figure, chart, left, right, high)
    for place, (name, of) in enumerate(chart.values.items()):
        for value in of.values():
            axes.barh(place, value["median"], height=0.5, color=SERIES[0])
            axes.plot([value["low"], value["high"]], [place, place], color=INK, lw=1.6)
            axes.annotate(
                _short(value["median"]), (value["high"], place), (6, 0), textcoords="offset points", va="center"
            )
        axes.annotate(name, (0, place), (-8, 0), textcoords="offset points", ha="right", va="center")
    axes.grid(visible=False)
    axes.set_xlim(left=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks([])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _lines(figure: Figure, chart: Chart, across: str) -> None:
    """One line a name through its medians, in a band from the lowest to the highest values."""
    names = list(chart.values)
    axes = _axes(figure, chart, 62, 50 + 7.4 * max(map(len, names), default=0), max(260, LINE * len(names)))
    medians = [value["median"] for of in chart.values.values() for value in of.values()]
    axes.set_xscale("log", base=2)
    if medians and max(medians) > FAR * min(medians) > 0:
        axes.set_yscale("log")
    for place, (name, of) in enumerate(chart.values.items()):
        colour, dashes = SERIES[place % len(SERIES)], DASHES[place // len(SERIES) % len(DASHES)]
        median, low, high = ([value[which] for value in of.values()] for which in ("median", "low", "high"))
        axes.plot(list(of), median, color=colour, ls=dashes, lw=2, marker="o", ms=5, label=name)
        axes.fill_between(list(of), low, high, color=colour, alpha=0.18, lw=0)
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)
    sizes = sorted({size for of in chart.values.values() for size in of})
    axes.set_xticks(sizes, [_short(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(across)
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, handlelength=2.2, borderaxespad=0)


def _axes(figure: Figure, chart: Chart, left: float, right: float, inner: float) -> Axes:
    """Axes of `inner` pixels' height below the title and the unit."""
    above, below = 62, 52
    height = above + inner + below
    figure.set_size_inches(WIDE / 72, height / 72)
    figure.text(6 / WIDE, 1 - 18 / height, chart.title, color=INK, weight="bold", va="center")
    figure.text(6 / WIDE, 1 - 42 / height, chart.unit, color=MUTED, va="center")
    return figure.add_axes((left / WIDE, below / height, (WIDE - left - right) / WIDE, inner / height))


def _short(value: float) -> str:
    """`65,536`, `12.3`, `0.00123`."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
