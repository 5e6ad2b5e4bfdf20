from dataclasses import dataclass


@dataclass(frozen=True)
class Label:
    """The name of a line, standing beside its end at height `y` (data coordinates)."""

    text: str
    colour: str
    y: float
    dashes: str = "-"


def label_width(texts: list[str]) -> int:
    """Pixels that the widest line of `texts` needs."""
    return 22 + round(7.4 * max(len(line) for text in texts for line in text.splitlines()))


def spread(wanted: list[float], gap: float, lowest: float) -> list[float]:
    """Places near the `wanted` ones, in their order, at least `gap` apart and none below `lowest`."""
    crowds: list[tuple[float, list[int]]] = []  # the lowest place of each crowd, and who stands in it, upwards
    for number in sorted(range(len(wanted)), key=wanted.__getitem__):
        crowds.append((max(wanted[number], lowest), [number]))
        while len(crowds) > 1 and crowds[-1][0] < crowds[-2][0] + gap * len(crowds[-2][1]):
            members = crowds[-2][1] + crowds[-1][1]
            middle = sum(wanted[member] for member in members) / len(members)
            crowds[-2:] = [(max(middle - gap * (len(members) - 1) / 2, lowest), members)]
    places = {member: low + gap * rank for low, members in crowds for rank, member in enumerate(members)}
    return [places[number] for number in range(len(wanted))]
