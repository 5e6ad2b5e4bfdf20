"""The figures and sentences of an inspection's page, made of its JSON."""

import math
import re
from pathlib import Path
from typing import Any

from mnemon.config import Problem
from mnemon.report import wording

PAGE, DATA = "inspection.html", "inspection.json"
CHIPS = 12  # names that gained most
LEAST = 4  # characters of one
# What a reader is told of `evaluate.KINDS`, in their order.
KINDS = (
    "name seen before, beyond the window",
    "name seen within the window",
    "name not seen before",
    "number",
    "punctuation",
    "white space and other",
)
READINGS = {
    "memory": ("with its memory", "the memory holds what was read of this document so far"),
    "none": ("without memory", "the same weights, with the memory left out"),
    "shuffled": ("memory shuffled", "its stored values under other entries' keys: what is found is the wrong thing"),
    "other": ("another document's memory", "the memory holds what was read of {other}, and nothing of this document"),
}

Data = dict[str, Any]


def check_free(folder: Path) -> None:
    """Returns: the folder holds no inspection yet. Call it before the work whose result goes there."""
    for name in (PAGE, DATA):
        if (folder / name).exists():
            raise Problem(f"{folder / name}: exists already; choose another folder")


def title(data: Data) -> str:
    """The page's question."""
    return f"What did the model remember of {data['document']}?" if data["memory"] else f"Reading {data['document']}"


def summary(data: Data) -> str:
    """What memory is worth on this document, and how much of that is left in the controls."""
    if not data["memory"]:
        loss = wording.decimal(_bits(data["nats_per_token"]["none"]), 2)
        return f"The model needs {loss} bits for each token of this text; it has no kNN memory, or reads without one."
    (everything,) = data["gains"]["all"]
    gain = {name: _bits(value) for name, value in everything["gain"].items()}
    loss = wording.decimal(_bits(everything["nats_per_token"]), 2)
    said = f"With a memory of {wording.count(data['memory'])} entries the model needs {loss} bits for each token"
    against = [f"{_apart(gain['none'])} without memory", f"{_apart(gain['shuffled'])} when the memory is shuffled"]
    if "other" in gain:
        against.append(f"{_apart(gain['other'])} with the memory of another document, {data['other']}")
    return f"{said}: {wording.listing(against)}."


def _apart(bits: float) -> str:
    return f"{wording.decimal(abs(bits), 2)} {'fewer' if bits >= 0 else 'more'} than"


def readings(data: Data) -> list[Data]:
    """A row for each reading: its loss over the tokens that the gains are of."""
    (everything,) = data["gains"]["all"]
    rows = []
    for name in data["nats_per_token"]:
        loss = everything["nats_per_token"] + everything["gain"].get(name, 0.0)
        said, what = READINGS[name]
        rows.append({"name": said, "bits": _bits(loss), "what": what.format(other=data["other"])})
    return rows


def gain_rows(data: Data, table: str) -> list[Data]:
    """Rows of a table of gains, with the place of each bar on a scale that shows zero, in percent of its width."""
    rows = data["gains"].get(table, [])
    gained = [_bits(row["gain"]["none"]) for row in rows]
    low, high = min([0.0, *gained]), max([0.0, *gained])
    wide = (high - low) or 1.0
    labels = dict(zip(data["kinds"], KINDS, strict=True))
    return [
        {
            "label": labels.get(row["label"], row["label"]),
            "tokens": row["tokens"],
            "bits": bits,
            "share": "" if row["share"] is None else f"{100 * row['share']:.0f} %".replace("-", wording.MINUS),
            "zero": round(-100 * low / wide, 2),
            "start": round(100 * (min(bits, 0.0) - low) / wide, 2),
            "width": round(100 * abs(bits) / wide, 2),
        }
        for row, bits in zip(rows, gained, strict=True)
    ]


def heads(data: Data) -> list[Data]:
    """Every head with its entropies in bits, the even numbers they stand for, and the bars of its ages."""
    return [
        {
            **head,
            "context_bits": _bits(head["entropy"]),
            "context_even": math.exp(head["entropy"]),
            "bits": None if head["memory_entropy"] is None else _bits(head["memory_entropy"]),
            "even": None if head["memory_entropy"] is None else math.exp(head["memory_entropy"]),
            "bins": _bins(head["ages"] or [], data["window"]),
        }
        for head in data["heads"]
    ]


def _bins(ages: list[float], window: int) -> list[Data]:
    most = max([*ages, 1e-9])
    return [
        {
            "label": f"{1 << bin}-{(2 << bin) - 1}" if bin else "1",
            "short": wording.count(1 << bin) if bin < 10 else f"{(1 << bin) // 1024}k",
            "share": share,
            "height": round(100 * share / most, 1),
            "near": (2 << bin) - 1 <= window,
        }
        for bin, share in enumerate(ages)
    ]


def told(head: Data) -> str:
    """The ages of a head in words."""
    return ", ".join(f"{wording.percent(bin['share'])} at {bin['label']} tokens" for bin in head["bins"])


def best(data: Data) -> list[Data]:
    """The names that gained most at one of their tokens, each once: what stands before that token, it, and after."""
    if not data["memory"]:
        return []
    tokens, with_memory = data["tokens"], data["tokens"]["nats"]["memory"]
    gains = {i: none - with_memory[i] for i, none in enumerate(tokens["nats"]["none"]) if with_memory[i] is not None}
    chosen: dict[str, Data] = {}
    for i in sorted(gains, key=lambda i: -gains[i]):
        before, piece, after = _name(data["text"], tokens["start"][i], tokens["end"][i])
        name = before + piece + after
        if len(name) >= LEAST and name not in chosen and tokens["found"][i] and not name.isdigit():
            chosen[name] = {"token": i, "parts": (before, piece, after), "bits": _bits(gains[i])}
        if len(chosen) == CHIPS:
            break
    return list(chosen.values())


def first(data: Data) -> int:
    """The first predicted token that can be seen."""
    tokens = data["tokens"]
    seen = (data["text"][start:end].strip() for start, end in zip(tokens["start"], tokens["end"], strict=True))
    return next((i for i, word in enumerate(seen) if word and tokens["nats"]["none"][i] is not None), 0)


def _name(text: str, start: int, end: int) -> tuple[str, str, str]:
    """The name that a token is a piece of: what stands before the piece, it, and what stands after; empty for none."""
    piece = re.fullmatch(r"\s*(\w+)", text[start:end])
    if piece is None:
        return "", "", ""
    start = end - len(piece[1])
    before = re.search(r"\w*$", text[max(0, start - 80) : start])
    after = re.match(r"\w*", text[end : end + 80])
    return before[0] if before else "", piece[1], after[0] if after else ""


def _bits(nats: float) -> float:
    return nats / math.log(2)
