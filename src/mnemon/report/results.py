from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, FiniteFloat, JsonValue, model_validator

from mnemon.config import Config, Problem

FORMAT = 1

Size = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]*)$")]  # a memory size or a layer, as JSON writes a number as a key
Gates = Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]  # of the heads of a layer
Losses = Annotated[dict[Size, FiniteFloat], Field(min_length=1)]  # memory size -> mean loss


class Bin(Config):
    """Mean loss of the tokens whose index in their document lies in [`start`, `to`); JSON writes `start` as `from`."""

    start: int = Field(alias="from", ge=0)
    to: int
    bits_per_byte: FiniteFloat
    tokens: int


Bins = Annotated[tuple[Bin, ...], Field(min_length=1)]


class Seed(Config):
    """One seed's share of the means of its model."""

    seed: int
    bits_per_byte: Losses


class Point(Config):
    """Training loss at one step, in nats a token."""

    step: int
    loss: FiniteFloat


class Model(Config):
    """One model, evaluated at each memory size; means over its seeds.

    `gates` (of each layer with memory, counted from 0) and `training` are the first seed's.
    """

    params: int
    tokens: int
    seeds: tuple[int, ...] = Field(min_length=1)
    bits_per_byte: Losses
    nats_per_token: dict[Size, FiniteFloat] = Field(default_factory=dict)
    by_position: dict[Size, Bins] = Field(default_factory=dict)
    per_seed: tuple[Seed, ...] = ()
    gates: dict[Size, Gates] = Field(default_factory=dict)
    training: tuple[Point, ...] = ()

    @model_validator(mode="after")
    def _seeds_are_of_this_model(self) -> Self:
        for each in self.per_seed:
            if each.seed not in self.seeds or not self.bits_per_byte.keys() >= each.bits_per_byte.keys():
                raise ValueError(f"seed {each.seed} or one of its memory sizes is not among those of the model")
        return self

    @property
    def memories(self) -> list[int]:
        return sorted(int(size) for size in self.bits_per_byte)

    @property
    def largest(self) -> int:
        return self.memories[-1]

    @property
    def positions(self) -> dict[int, tuple[Bin, ...]]:
        """Loss by position at the largest and at the smallest memory it was measured with."""
        sizes = sorted(map(int, self.by_position))
        return {size: self.by_position[str(size)] for size in dict.fromkeys(sizes[-1:] + sizes[:1])}

    def loss(self, memory: int) -> float:
        """Bits per byte at one of `memories`."""
        return self.bits_per_byte[str(memory)]


class Comparison(Config):
    """First named minus second named, in bits per byte (negative: the first has the lower loss), paired a document.

    `interval` is the 95 % bootstrap interval over documents; `holds`: the claim in `text` is carried by it.
    """

    name: str
    bits_per_byte: FiniteFloat
    interval: tuple[FiniteFloat, FiniteFloat]
    documents: int
    holds: bool
    text: str

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval[0] > 0 or self.interval[1] < 0

    @model_validator(mode="after")
    def _claims_what_it_measured(self) -> Self:
        if self.interval[0] > self.interval[1]:
            raise ValueError("the interval ends before it begins")
        if self.holds and not self.decided:
            raise ValueError("it is said to hold, but its interval contains 0")
        return self


class Passage(Config):
    """A remembered token that a head attended to, in its context; `age` is its distance in tokens."""

    document: str
    file: str
    line: int
    before: str
    token: str
    after: str
    weight: FiniteFloat
    head: int
    layer: int
    age: int


class Helped(Config):
    """A predicted token, its loss in nats with and without memory, and the passages its heads looked at."""

    document: str
    file: str
    line: int
    before: str
    token: str
    after: str
    loss_without: FiniteFloat
    loss_with: FiniteFloat
    passages: tuple[Passage, ...] = ()


class Sources(Config):
    """The corpus; further keys are shown as they come."""

    model_config = ConfigDict(extra="allow")

    name: str
    fingerprint: str
    documents: dict[str, int]
    bytes: dict[str, int]

    @property
    def further(self) -> dict[str, JsonValue]:
        return self.model_extra or {}


class Results(Config):
    """Everything the page shows; `results.json` holds it."""

    format: Literal[1]
    models: dict[str, Model] = Field(min_length=1)
    comparisons: tuple[Comparison, ...] = ()
    helped: tuple[Helped, ...] = ()
    corpus: Sources
    environment: dict[str, JsonValue] = Field(default_factory=dict)
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    seconds: dict[str, FiniteFloat] = Field(default_factory=dict)
    does_not_show: tuple[str, ...] = ()
    method: tuple[str, ...] = ()  # sentences: how the models were trained and compared
    command: str = "make demo"

    @property
    def ordered(self) -> dict[str, Model]:
        """The models that were given the most memory first: the order of colours and tables."""
        return dict(sorted(self.models.items(), key=lambda item: -item[1].largest))


def parse_results(values: dict[str, Any], where: str = "results") -> Results:
    """The results in `values`; a `Problem` naming `where` if they are damaged or of a newer format."""
    if not isinstance(values, dict):
        raise Problem(f"{where}: a JSON object is needed, got {type(values).__name__}")
    found = values.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise Problem(f"{where}: format {found} is newer than {FORMAT}, the newest this mnemon reads; update mnemon")
    return Results.parse(values, where)
