"""The page's numbers and sentences: what is said follows from the results, and claims no more than they hold."""

from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from mnemon.report.results import Comparison, Model, Results

MINUS = "\N{MINUS SIGN}"


def count(number: int) -> str:
    """`8,192`."""
    return f"{number:,}".replace("-", MINUS)


def decimal(number: float, digits: int = 3) -> str:
    """`1.612`, with a true minus sign."""
    return f"{number:.{digits}f}".replace("-", MINUS)


def signed(number: float, digits: int = 3) -> str:
    """`+0.034`, or with a true minus sign; what rounds to zero has no sign."""
    shown = f"{number:+.{digits}f}"
    return shown.replace("-", MINUS) if float(shown) else shown[1:]


def percent(share: float) -> str:
    """`66 %`; below one percent two significant digits, `0.07 %`; the tiniest as a bound."""
    if share >= 0.01:
        return f"{100 * share:.0f} %"
    return f"{100 * share:.2g} %" if share >= 1e-5 else "under 0.001 %"


def listing(parts: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def memory(size: int) -> str:
    """`memory 8,192` or `no memory`."""
    return f"memory {count(size)}" if size else "no memory"


def visible(token: str) -> str:
    """A token whose line ends, tabs and, where there is nothing else, spaces can be seen."""
    shown = token.replace("\r", "").replace("\n", "↵\n").replace("\t", "⇥\t")
    return shown if token.strip() else shown.replace(" ", "␣")


def summary(results: Results) -> str:
    """One sentence: the measured losses, their differences with the sign they have, and which comparisons hold."""
    models = results.ordered
    name, model = next(iter(models.items()))
    best = model.loss(model.largest)
    said = f"{name} needs {decimal(best)} bits for each byte of text it has never seen"
    if model.largest:
        said = f"With a memory of {count(model.largest)} tokens, {said}"
    against = [f"{_apart(best, model.loss(0))} with no memory"] if 0 in model.memories[:-1] else []
    against += [f"{_apart(best, its.loss(its.largest))} {other}" for other, its in models.items() if other != name]
    apart = f": {listing(against)}" if against else ""
    return f"{said}{apart}; {_verdicts(results.comparisons)}."


def _apart(loss: float, other: float) -> str:
    difference = decimal(abs(loss - other))
    if not float(difference):
        return "as many as"
    return f"{difference} {'fewer' if loss < other else 'more'} than"


def _verdicts(comparisons: Sequence[Comparison]) -> str:
    failing = [f"“{comparison.name}”" for comparison in comparisons if not comparison.holds]
    if not comparisons:
        return "no comparison was made, so these differences may be chance"
    if not failing:
        return (
            "the comparison below holds" if len(comparisons) == 1 else f"all {len(comparisons)} comparisons below hold"
        )
    holding = f"{len(comparisons) - len(failing)} of {len(comparisons)} comparisons below hold"
    return f"{holding}, and {listing(failing)} {'does' if len(failing) == 1 else 'do'} not"


def verdict(comparison: Comparison) -> str:
    """`holds`; `not shown`: zero lies in the interval; `does not hold`: all of it lies on the other side of zero."""
    if comparison.holds:
        return "holds"
    return "does not hold" if comparison.decided else "not shown"


def fairness(models: list[Model]) -> str:
    """What the models have in common, and what not, in one sentence; sums within 0.1 % count as equal."""
    equal = {
        "parameters": _close([model.params for model in models]),
        "training tokens": _close([model.tokens for model in models]),
        "seeds": all(model.seeds == models[0].seeds for model in models),
    }
    same = [what for what, is_equal in equal.items() if is_equal]
    other = [what for what, is_equal in equal.items() if not is_equal]
    parts = [f"equal {listing(same)}"] * bool(same) + [f"different {listing(other)}"] * bool(other)
    return f"The models have {' but '.join(parts)}." if len(models) > 1 else ""


def _close(values: list[int]) -> bool:
    return max(values) <= 1.001 * min(values)


def flat(value: JsonValue, name: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of a nested value with their dotted names; a list of plain values is one leaf."""
    if isinstance(value, dict) and value:
        inner = value.items()
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        inner = dict(zip(map(str, range(len(value))), value, strict=True)).items()
    else:
        yield name, plain(value)
        return
    for key, each in inner:
        yield from flat(each, f"{name}.{key}" if name else key)


def plain(value: JsonValue) -> str:
    """A leaf as a reader expects it: `yes`, `none`, `a, b`, `0.001`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and value:
        return ", ".join(plain(each) for each in value)
    return str(value) if value not in (None, "", [], {}) else "none"
