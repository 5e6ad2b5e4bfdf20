from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

Spread = Mapping[str, float]


@dataclass(frozen=True)
class Chart:
    """Medians with the lowest and the highest value beside them: by name, or one line a name over sizes.

    A `Spread` holds `median`, `low` and `high`. `across` says what the sizes are; None where there are none.
    """

    title: str
    unit: str
    values: Mapping[str, Mapping[int, Spread]]
    across: str | None = None

    @classmethod
    def by_name(cls, title: str, unit: str, values: Mapping[str, Spread]) -> Self:
        """One bar a name."""
        return cls(title, unit, {name: {0: value} for name, value in values.items()})

    @classmethod
    def by_size(cls, title: str, unit: str, across: str, values: Mapping[str, Mapping[int, Spread]]) -> Self:
        """One line a name; sizes stand on a logarithmic axis. A name that was not measured at a size has a gap."""
        return cls(title, unit, {name: dict(sorted(of.items())) for name, of in values.items() if of}, across)
