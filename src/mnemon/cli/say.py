import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def result(value: Any, as_json: bool, text: Callable[[], str]) -> None:
    """Print `value` as the one JSON value of standard output, or the `text` made of it for people."""
    print(json.dumps(value, indent=2, allow_nan=False) if as_json else text())


def piece(text: str) -> None:
    """Print text as it comes, without ending the line."""
    print(text, end="", flush=True)


def table(rows: Iterable[Iterable[object]], left: int = 1) -> str:
    """Columns as wide as their widest cell; the first `left` begin at the left, the others end at the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        aligned = [
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def skipped(reasons: Mapping[str, int]) -> str:
    """The end of a sentence: how many files or documents were left out, and why."""
    said = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()) if count)
    return f"; skipped {said}" if said else ""
