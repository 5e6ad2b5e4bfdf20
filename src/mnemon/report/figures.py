import io
from collections.abc import Callable
from math import log2
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mnemon.report.alternatives import ALTERNATIVES
from mnemon.report.curves import position_curves
from mnemon.report.labels import Label, label_width, spread
from mnemon.report.results import Bin, Model, Results
from mnemon.report.svg import inline
from mnemon.report.wording import MINUS, count, decimal, memory

WIDE, NARROW = 720, 356  # pixels: a text column, a telephone
LINE = 36  # pixels: the height of a label
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
    labels = []
    (axes,) = _panels(figure, width, {"bits per byte (lower is better)": 235}, list(models))
    for place, (colour, name, model) in enumerate(_coloured(results)):
        at = {0: zero - 0.14 * place} | {size: log2(size) for size in sizes}  # models stand side by side at 0
        for seed in model.per_seed:
            points = sorted((at[int(size)], loss) for size, loss in seed.bits_per_byte.items())
            axes.plot(*zip(*points, strict=True), color=colour, lw=0.8, alpha=0.7, marker="o", ms=4.5, mfc=PAPER)
        means = [(at[size], model.loss(size)) for size in model.memories]
        axes.plot(*zip(*means, strict=True), color=colour, lw=2.4, marker="o", ms=7, zorder=3)
        if len(means) == 1 and sizes:
            axes.plot([means[0][0], at[sizes[-1]]], [means[0][1]] * 2, color=colour, lw=1.6, ls=(0, (4, 3)))
        labels.append(Label(f"{name}\n{decimal(means[-1][1])}", colour, means[-1][1], "-" if means[1:] else "--"))
    left, right = zero - 0.2 - 0.14 * len(models), (log2(sizes[-1]) if sizes else zero) + 0.35
    axes.set_xlim(left, right)
    axes.spines["bottom"].set_visible(False)
    gap = zero + 0.75
    for line in [[left, gap - 0.06], [gap + 0.06, right]] if sizes else [[left, right]]:
        axes.plot(line, [0, 0], color=MUTED, lw=0.8, transform=axes.get_xaxis_transform(), clip_on=False)
    if sizes:
        axes.text(gap, 0, "//", color=MUTED, ha="center", va="center", transform=axes.get_xaxis_transform())
    axes.set_xticks([zero, *map(log2, sizes)], [_short(size, width) for size in (0, *sizes)])
    axes.set_xlabel("memory, in tokens (log scale; 0 stands apart)")
    _name(figure, axes, labels, width)


def loss_by_position(figure: Figure, results: Results, width: int) -> None:
    curves = position_curves(results)
    edges = sorted({edge for curve in curves for each in curve.bins for edge in (each.start, each.to)})
    leader = curves[0].label.splitlines()[-1]
    panels = {"bits per byte": 205} | ({f"bits per byte saved by {leader}": 85} if curves[1:] else {})
    axes, *below = _panels(figure, width, panels, [curve.label for curve in curves])
    losses, gains = [], []
    for curve in curves:
        colour, dashes = SERIES[curve.place % len(SERIES)], "-" if curve.largest else ":"
        loss = [(each, each.bits_per_byte) for each in curve.bins]
        axes.plot(*_stairs(edges, loss), color=colour, ls=dashes, lw=2)
        losses.append(Label(curve.label, colour, loss[-1][1], dashes))
        gain = curve.gain_of(curves[0])
        if gain and curve is not curves[0]:
            below[0].plot(*_stairs(edges, gain), color=colour, ls=dashes, lw=2)
            against = curve.model if curve.place else memory(curve.memory)
            gains.append(Label(f"against\n{against}", colour, gain[-1][1], dashes))
    for each in (axes, *below):
        step = -(-len(edges) // (12 if width == WIDE else 6))
        ticks = list(range(0, len(edges), step))
        each.set_xticks(ticks, [_short(edges[tick], width) for tick in ticks])
        each.set_xlim(0, len(edges) - 1)
    for each in below:
        each.axhline(0, color=MUTED, lw=0.8)
        each.spines["bottom"].set_visible(False)
        each.yaxis.set_major_formatter(FuncFormatter(_saved))
        _name(figure, each, gains if width == WIDE else [], width)
    figure.axes[-1].set_xlabel("tokens since the document began")
    _name(figure, axes, losses, width)


def gates(figure: Figure, results: Results, width: int) -> None:
    rows: list[tuple[str, str, float | None]] = []  # name, colour, gate; a row without a gate heads those of a model
    gated = [item for item in _coloured(results) if item[2].gates]
    for colour, name, model in gated:
        rows += [(name, colour, None)] * (len(gated) > 1)
        for layer, heads in sorted(model.gates.items(), key=lambda item: int(item[0])):
            rows += [(f"layer {layer}, head {head}", colour, gate) for head, gate in enumerate(heads)]
    left, high = 14 + 7.4 * max(len(name) for name, _, gate in rows if gate is not None), 26 * len(rows)
    figure.set_size_inches(width / 72, (high + 62) / 72)
    axes = figure.add_axes((left / width, 46 / (high + 62), (width - left - 50) / width, high / (high + 62)))
    for place, (name, colour, gate) in enumerate(rows):
        if gate is None:
            axes.text(-left / (width - left - 50), place, name, color=colour, va="center_baseline", weight="bold")
            continue
        axes.text(-0.01, place, name, ha="right", va="center_baseline")
        axes.barh(place, 1, height=0.56, color=RULE)
        axes.barh(place, gate, height=0.56, color=colour)
        axes.text(1.015, place, decimal(gate, 2), va="center_baseline")
    axes.set_xlim(0, 1)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_yticks([])
    axes.set_xticks([0, 0.5, 1], ["0\ncontext only", "0.5", "1\nmemory only"])
    axes.tick_params(axis="x", length=0)


def training(figure: Figure, results: Results, width: int) -> None:
    models = {name: model for name, model in results.ordered.items() if model.training}
    (axes,) = _panels(figure, width, {"training loss, nats per token": 215}, list(models))
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


def _short(size: int, width: int) -> str:
    """`8,192` where there is room, else `8k`."""
    return f"{size // 1024}k" if width == NARROW and size >= 1024 and size % 1024 == 0 else count(size)


def _stairs(edges: list[int], values: list[tuple[Bin, float]]) -> tuple[list[int], list[float]]:
    """The outline of values that are constant within each range of positions, with `edges` drawn equally far apart."""
    return [edges.index(edge) for each, _ in values for edge in (each.start, each.to)], [
        value for _, value in values for _ in range(2)
    ]


def _saved(value: float, _: int) -> str:
    return f"{value:+.3g}".replace("-", MINUS) if value else "0"


def _panels(figure: Figure, width: int, panels: dict[str, int], names: list[str]) -> list[Axes]:
    """Axes one below another, each of the height (pixels) that `panels` gives to its title, or higher if the `names` of
    its lines need it; the names have room at the right (wide) or above the first axes (narrow)."""
    left, right, above, below = 48, label_width(names) if width == WIDE else 14, 34, 52
    keys = 0 if width == WIDE else 4 + 18 * len(names)
    inners = [max(inner, LINE * len(names) if width == WIDE else 0) for inner in panels.values()]
    height = keys + sum(above + inner + below for inner in inners)
    figure.set_size_inches(width / 72, height / 72)
    drawn, top = [], 0
    for number, (title, inner) in enumerate(zip(panels, inners, strict=True)):
        figure.text(4 / width, 1 - (top + 12) / height, title, color=MUTED, va="center")
        top += above + inner + (0 if number else keys)
        axes = figure.add_axes((left / width, 1 - top / height, (width - left - right) / width, inner / height))
        axes.yaxis.set_major_locator(MaxNLocator(5 if inner > 150 else 4, steps=[1, 2, 5, 10]))
        drawn.append(axes)
        top += below
    return drawn


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
    places = spread(wanted, LINE / (box.height * high), LINE / 2 / (box.height * high))
    for label, place in zip(labels, places, strict=True):
        axes.text(
            box.x1 + 10 / width,
            box.y0 + place * box.height,
            label.text,
            color=label.colour,
            va="center",
            transform=figure.transFigure,
        )
