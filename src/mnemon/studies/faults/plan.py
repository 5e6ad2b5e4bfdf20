"""Which faults: what is done, and what strikes it."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from mnemon.studies.faults.acts import ACTS
from mnemon.studies.faults.training import TRAININGS

# Of so many faults, how many are of each kind; the acts take turns within a kind.
KINDS = {"kill": 8, "power": 8, "moment": 6, "full": 8, "limit": 4, "damage": 12, "contend": 4, "watched": 4}
SAYS = {
    "kill": "kill -9 before a call that changes the disk",
    "power": "power cut before such a call: what was not synced is undone",
    "moment": "kill -9 at any moment",
    "full": "disk full from a call on",
    "limit": "limit on the size of files",
    "damage": "file flipped, cut or zeroed",
    "contend": "kill -9 of one of two writers",
    "watched": "kill -9 of a writer beside a reader",
}
OF_MEMORY, WITH_TRAINING = tuple(ACTS), (*ACTS, *TRAININGS)
TARGETS = {
    **dict.fromkeys(("kill", "power", "moment", "full"), WITH_TRAINING),
    "limit": OF_MEMORY,
    "damage": ("parts", "int8", "checkpoint"),
    "contend": ("forget", "grow"),  # a save makes the file its own memory: it takes away what another has added before
    "watched": ("save", "forget", "grow"),
}


@dataclass(frozen=True)
class Fault:
    """One fault of a plan: the `number`-th, of this kind, to this act, or kind of files."""

    number: int
    kind: str
    target: str
    seed: int


def plan(count: int, seed: int, kinds: Sequence[str] = tuple(KINDS)) -> list[Fault]:
    """`count` faults, kinds mixed by their shares."""
    deck = [kind for kind in kinds for _ in range(KINDS[kind])]
    random.Random(seed).shuffle(deck)
    turns = {kind: itertools.cycle(TARGETS[kind]) for kind in kinds}
    chosen = itertools.islice(itertools.cycle(deck), count)
    return [Fault(at, kind, next(turns[kind]), seed * 1_000_003 + at) for at, kind in enumerate(chosen)]
