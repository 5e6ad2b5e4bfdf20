import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mnemon.report.alternatives import ALTERNATIVES
from mnemon.report.results import Bin, Model, Results
from mnemon.report.spread import spread
from mnemon.report.svg import inline
from mnemon.report.wording import MINUS, count, decimal, memory

WIDE, NARROW = 720, 356  # pixels: a text column, a telephone
INK, MUTED, RULE, PAPER = "#010101", "#020202", "#030303", "#040404"
SERIES = [f"#0505{number:02x}" for number in range(6)]
COLOURS = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)", PAPER: "var(--paper)"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(SERIES)
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, set in the page's own font
    "svg.hashsalt": "mnemon",  # the same results give the same bytes
    "text.parse_math": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 13,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": RULE,
    "xtick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.color": RULE,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class Label:
    """The name of a line, standing beside its end at height `y` (data coordinates)."""

    text: str
    colour: str
    y: float
    dashes: str = "-"


def draw(results: Results) -> dict[str, list[str]]:
    """Every figure that the results have data for, by name: inline SVG for a wide and for a narrow page."""
    drawn: dict[str, list[str]] = {}
    for name, plot in PLOTS.items():
        alternative = ALTERNATIVES[name](results)
        if not alternative:
            continue
        drawn[name] = []
        for width in (WIDE, NARROW):
            with style.context(["default", STYLE]):
                figure = Figure()
                plot(figure, results, width)
                page = io.StringIO()
                figure.savefig(page, format="svg", dpi=72, metadata={"Date": None})
            drawn[name].append(inline(page.getvalue(), f"{name}-{width}", alternative, COLOURS))
    return drawn


def loss_against_memory(figure: Figure, results: Results, width: int) -> None:
    models = results.ordered
    sizes = sorted({size for model in models.values() for size in model.memories if size})
    zero = log2(sizes[0]) - 1.5 if sizes else 0.0  # 0 has no logarithm: it stands apart, left of the smallest size
    at = {0: zero} | {size: log2(size) for size in sizes}
    labels = []
    axes = _axes(figure, width, 320, _label_width(list(models)), len(models), "bits per byte (lower is better)")
    for place, (colour, name, model) in enumerate(_coloured(results)):
        aside = 0.14 * place  # models do not cover each other at 0
        for seed in model.per_seed:
            points = sorted((at[int(size)] - aside, loss) for size, loss in seed.bits_per_byte.items())
            axes.plot(*zip(*points, strict=True), color=colour, lw=0.8, alpha=0.7, marker="o", ms=4.5, mfc=PAPER)
        means = [(at[size] - aside, model.loss(size)) for size in model.memories]
        axes.plot(*zip(*means, strict=True), color=colour, lw=2.4, marker="o", ms=7, zorder=3)
        if len(means) == 1 and sizes:
            axes.plot([means[0][0], at[sizes[-1]]], [means[0][1]] * 2, color=colour, lw=1.6, ls=(0, (4, 3)))
        labels.append(Label(f"{name}\n{decimal(means[-1][1])}", colour, means[-1][1], "-" if means[1:] else "--"))
    left, right = zero - 0.2 - 0.14 * len(models), (at[sizes[-1]] if sizes else zero) + 0.35
    axes.set_xlim(left, right)
    axes.spines["bottom"].set_visible(False)
    gap = zero + 0.75
    for line in [[left, gap - 0.06], [gap + 0.06, right]] if sizes else [[left, right]]:
        axes.plot(line, [0, 0], color=MUTED, lw=0.8, transform=axes.get_xaxis_transform(), clip_on=False)
    if sizes:
        axes.text(gap, 0, "//", color=MUTED, ha="center", va="center", transform=axes.get_xaxis_transform())
    shown = [0, *sizes]
    axes.set_xticks([at[size] for size in shown], [_short(size, width) for size in shown])
    axes.set_xlabel("memory, in tokens (log scale; 0 stands apart)")
    _name(figure, axes, labels, width)


def loss_by_position(figure: Figure, results: Results, width: int) -> None:
    curves = []  # name, colour, dashes, bins: each model at its largest memory and, dotted, at none
    for colour, name, model in _coloured(results):
        for size, bins in model.positions.items():
            text = f"{name}\n{memory(size)}" if model.largest else name
            curves.append((text, colour, ":" if size == 0 and model.largest else "-", bins))
    edges = sorted({edge for *_, bins in curves for each in bins for edge in (each.start, each.to)})
    place = {edge: number for number, edge in enumerate(edges)}
    labels_width = _label_width([text for text, *_ in curves])
    height, split = 470, 165
    axes = _axes(figure, width, height, labels_width, len(curves), "bits per byte", bottom=split + 60)
    leader = curves[0][0].splitlines()[-1]
    gains = _axes(figure, width, height, labels_width, 0, f"bits per byte saved by {leader}", top=height - split)
    labels, saved = [], []
    for text, colour, dashes, bins in curves:
        axes.plot(*_stairs(bins, place, [each.bits_per_byte for each in bins]), color=colour, ls=dashes, lw=2)
        labels.append(Label(text, colour, bins[-1].bits_per_byte, dashes))
    first = {(each.start, each.to): each.bits_per_byte for each in curves[0][3]}
    for text, colour, dashes, bins in curves[1:]:
        common = [each for each in bins if (each.start, each.to) in first]
        gain = [each.bits_per_byte - first[each.start, each.to] for each in common]
        if gain:
            gains.plot(*_stairs(common, place, gain), color=colour, ls=dashes, lw=2)
            saved.append(Label(f"against\n{text.splitlines()[-1]}", colour, gain[-1], dashes))
    gains.axhline(0, color=MUTED, lw=0.8)
    gains.spines["bottom"].set_visible(False)
    gains.yaxis.set_major_formatter(FuncFormatter(_saved))
    for each in (axes, gains):
        step = -(-len(edges) // (12 if width == WIDE else 6))
        ticks = list(range(0, len(edges), step))
        each.set_xticks(ticks, [_short(edges[tick], width) for tick in ticks])
        each.set_xlim(0, len(edges) - 1)
    gains.set_xlabel("tokens since the document began")
    _name(figure, axes, labels, width)
    _name(figure, gains, saved if width == WIDE else [], width)


def gates(figure: Figure, results: Results, width: int) -> None:
    rows = []  # text, colour, gate
    gated = [name for name, model in results.ordered.items() if model.gates]
    for colour, name, model in _coloured(results):
        for layer, heads in sorted(model.gates.items(), key=lambda item: int(item[0])):
            prefix = f"{name}, " if gated[1:] else ""
            rows += [(f"{prefix}layer {layer}, head {head}", colour, gate) for head, gate in enumerate(heads)]
    left = 14 + 7.4 * max(len(text) for text, *_ in rows)
    figure.set_size_inches(width / 72, (26 * len(rows) + 62) / 72)
    height = figure.get_figheight() * 72
    axes = figure.add_axes((left / width, 46 / height, (width - left - 50) / width, 26 * len(rows) / height))
    places = range(len(rows))
    axes.barh(places, [1] * len(rows), height=0.56, color=RULE)
    axes.barh(places, [gate for *_, gate in rows], height=0.56, color=[colour for _, colour, _ in rows])
    for number, (_, _, gate) in enumerate(rows):
        axes.text(1.015, number, decimal(gate, 2), va="center_baseline")
    axes.set_yticks(places, [text for text, *_ in rows], color=INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([0, 0.5, 1], ["0\ncontext only", "0.5", "1\nmemory only"])
    axes.tick_params(axis="x", length=0)


def training(figure: Figure, results: Results, width: int) -> None:
    models = {name: model for name, model in results.ordered.items() if model.training}
    axes = _axes(figure, width, 300, _label_width(list(models)), len(models), "training loss, nats per token")
    labels = []
    for colour, name, model in _coloured(results):
        if model.training:
            losses = [point.loss for point in model.training]
            axes.plot([point.step for point in model.training], losses, color=colour, lw=1.6)
            labels.append(Label(f"{name}\n{decimal(losses[-1])}", colour, losses[-1]))
    axes.margins(x=0)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(round(value))))
    axes.set_xlabel("step")
    _name(figure, axes, labels, width)


PLOTS: dict[str, Callable[[Figure, Results, int], None]] = {
    "memory": loss_against_memory,
    "position": loss_by_position,
    "gates": gates,
    "training": training,
}


def _coloured(results: Results) -> list[tuple[str, str, Model]]:
    """Each model with its name and its colour, which is the same in every figure."""
    return [(SERIES[place % len(SERIES)], *item) for place, item in enumerate(results.ordered.items())]


def _label_width(texts: list[str]) -> int:
    return 22 + round(7.4 * max(len(line) for text in texts for line in text.splitlines()))


def _short(size: int, width: int) -> str:
    """`8,192` where there is room, else `8k`."""
    return f"{size // 1024}k" if width == NARROW and size >= 1024 and size % 1024 == 0 else count(size)


def _saved(value: float, _: int) -> str:
    return f"{value:+.3g}".replace("-", MINUS) if value else "0"


def _axes(
    figure: Figure, width: int, height: int, labels: int, lines: int, title: str, top: int = 0, bottom: int = 52
) -> Axes:
    """Axes below `title`, with room for the names of `lines` at the right (wide) or above (narrow); in pixels."""
    figure.set_size_inches(width / 72, height / 72)
    right = labels if width == WIDE else 14
    head = 34 if width == WIDE else 38 + 18 * lines
    inner = height - top - head - bottom
    axes = figure.add_axes((48 / width, bottom / height, (width - 48 - right) / width, inner / height))
    figure.text(4 / width, 1 - (top + 12) / height, title, color=MUTED, va="center")
    axes.yaxis.set_major_locator(MaxNLocator(5 if inner > 150 else 4, steps=[1, 2, 5, 10]))
    return axes


def _name(figure: Figure, axes: Axes, labels: list[Label], width: int) -> None:
    """Write the names of the lines: beside their ends and pushed apart (wide), in a list above the axes (narrow)."""
    box = axes.get_position()
    high = figure.get_figheight() * 72
    if width == NARROW:
        for number, label in enumerate(labels):
            y = box.y1 + (14 + 18 * (len(labels) - 1 - number)) / high
            figure.add_artist(Line2D([6 / width, 26 / width], [y, y], color=label.colour, ls=label.dashes, lw=2.4))
            figure.text(34 / width, y, label.text.replace("\n", ", "), color=INK, va="center_baseline")
        return
    bottom, top = axes.get_ylim()
    wanted = [(label.y - bottom) / (top - bottom) for label in labels]
    places = spread(wanted, 36 / (box.height * high), 18 / (box.height * high))
    for label, place in zip(labels, places, strict=True):
        axes.text(
            box.x1 + 10 / width,
            box.y0 + place * box.height,
            label.text,
            color=label.colour,
            va="center",
            transform=figure.transFigure,
        )


def _stairs(bins: Sequence[Bin], place: dict[int, int], values: list[float]) -> tuple[list[int], list[float]]:
    """The outline of values that are constant within each bin."""
    return [place[edge] for each in bins for edge in (each.start, each.to)], [y for y in values for _ in range(2)]
