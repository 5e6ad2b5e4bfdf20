from dataclasses import dataclass

from mnemon.report.results import Bin, Results
from mnemon.report.wording import memory


@dataclass(frozen=True)
class Curve:
    """Loss by position of one model with one memory size; `place` is the place of the model among the models."""

    place: int
    model: str
    memory: int
    largest: bool  # whether `memory` is the largest that the model was measured with
    bins: tuple[Bin, ...]

    @property
    def label(self) -> str:
        """The model and, in a second line, its memory; the model alone if it never had any."""
        return self.model if self.largest and not self.memory else f"{self.model}\n{memory(self.memory)}"

    def gain_of(self, other: "Curve") -> list[tuple[Bin, float]]:
        """Bits per byte that `other` needs less than this one, in each range of positions that both have."""
        losses = {(each.start, each.to): each.bits_per_byte for each in other.bins}
        common = [each for each in self.bins if (each.start, each.to) in losses]
        return [(each, each.bits_per_byte - losses[each.start, each.to]) for each in common]


def position_curves(results: Results) -> list[Curve]:
    """Each model with its largest memory; the first model, with the most memory, also with its smallest."""
    found = []
    for place, (name, model) in enumerate(results.ordered.items()):
        shown = list(model.positions.items())[: 1 if place else 2]
        found += [Curve(place, name, size, rank == 0, bins) for rank, (size, bins) in enumerate(shown)]
    return found
