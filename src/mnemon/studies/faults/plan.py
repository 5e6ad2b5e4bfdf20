"""Which faults: what is done, and what strikes it."""

import itertools
import random
from dataclasses import dataclass

from mnemon.studies.faults.acts import ACTS
from mnemon.studies.faults.training import TRAININGS

SAYS = {
    "kill": "kill -9 before a call that changes the disk",
    "power": "power cut before such a call: what was not synced is undone",
    "moment": "kill -9 at any moment",
    "full": "disk full from a call on",
    "limit": "limit on the size of files",
    "damage": "file flipped, cut or zeroed",
    "contend": "kill -9 of one of two writers",
    "watched": "kill -9 of a writer beside a reader",
    "delay": "all that goes to and from it is late",
    "stall": "nothing goes to or from it for some seconds",
    "cut": "connections cut in the middle of a message",
    "vanish": "away for some seconds, and back",
}
SERVER = "milvus server"
OF_MEMORY, WITH_TRAINING = tuple(ACTS), (*ACTS, *TRAININGS)


@dataclass(frozen=True)
class Part:
    """What is struck by which kinds: of so many faults how many are of each kind, and its targets, which take turns.

    Of so many faults of a plan, `share` are of this part.
    """

    share: int
    kinds: dict[str, int]
    targets: dict[str, tuple[str, ...]]


FOLDERS = Part(
    2,
    {"kill": 8, "power": 8, "moment": 6, "full": 8, "limit": 4, "damage": 12, "contend": 4, "watched": 4},
    {
        **dict.fromkeys(("kill", "power", "moment", "full"), WITH_TRAINING),
        "limit": OF_MEMORY,
        "damage": ("parts", "int8", "checkpoint"),
        "contend": ("forget", "grow"),  # a save makes the file its own memory: it takes away what another has added
        "watched": ("save", "forget", "grow"),
    },
)
STORES = Part(
    1,
    {"kill": 4, "power": 4, "moment": 6, "full": 4, "limit": 2, "damage": 7, "contend": 3},
    {
        **dict.fromkeys(("kill", "power", "full", "limit", "damage"), ("mmap",)),
        "moment": ("milvus", "mmap"),
        "contend": ("mmap", "milvus"),
    },
)
OF_SERVER = Part(
    0,  # beside the others, where there is one
    {"moment": 4, "contend": 3, "delay": 3, "stall": 4, "cut": 6, "vanish": 4},
    dict.fromkeys(("moment", "contend", "delay", "stall", "cut", "vanish"), (SERVER,)),
)


@dataclass(frozen=True)
class Fault:
    """One fault of a plan: the `number`-th, of this kind, to this act, or kind of files."""

    number: int
    kind: str
    target: str
    seed: int


def pairs() -> list[tuple[str, str]]:
    """All kinds, with what they strike, in the order of `SAYS`."""
    parts = (FOLDERS, STORES, OF_SERVER)
    return [(kind, target) for part in parts for kind in SAYS if kind in part.kinds for target in part.targets[kind]]


def plan(count: int, seed: int, server: bool = False) -> list[Fault]:
    """`count` faults: of each part its share, within it kinds mixed by theirs; and some of a server beside them."""
    of_stores = count * STORES.share // (FOLDERS.share + STORES.share)
    drawn = [*_drawn(FOLDERS, count - of_stores, seed), *_drawn(STORES, of_stores, seed)]
    if server:
        drawn += _drawn(OF_SERVER, -(-count // 15), seed)
    return [Fault(at, kind, target, seed * 1_000_003 + at) for at, (kind, target) in enumerate(drawn)]


def _drawn(part: Part, count: int, seed: int) -> list[tuple[str, str]]:
    """Kinds and targets of so many faults."""
    deck = [kind for kind, times in part.kinds.items() for _ in range(times)]
    random.Random(seed).shuffle(deck)
    turns = {kind: itertools.cycle(part.targets[kind]) for kind in part.kinds}
    return [(kind, next(turns[kind])) for kind in itertools.islice(itertools.cycle(deck), count)]
