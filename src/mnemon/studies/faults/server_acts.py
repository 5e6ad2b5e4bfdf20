"""The acts on a store, in a Milvus server that is reached through a way that fails."""

import contextlib
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mnemon.config import Problem
from mnemon.index import MilvusStore, Store
from mnemon.index.milvus import Place
from mnemon.index.milvus_connection import Connection
from mnemon.studies.faults import segments
from mnemon.studies.faults.children import Child, Ended
from mnemon.studies.faults.outcome import Outcome
from mnemon.studies.faults.proxy import Proxy, Trouble
from mnemon.studies.faults.store_acts import Kept

WHOLE = 1 << 60
KILLED = ("moment", "contend")  # what ends a writer; all else it gets over
STALLS = (0.5, 4.0)  # seconds
DELAYS = (0.005, 0.05)


@dataclass(frozen=True)
class Reached:
    """A store of that name in a collection of the server at `uri`."""

    uri: str
    collection: str
    name: str

    def create(self, place: Path) -> Store:
        """Make it."""
        return MilvusStore.create(self._place(), self.name, segments.SHAPE)

    def open(self, place: Path) -> Store:
        """Open it."""
        return MilvusStore.open(self._place(), self.name, segments.DIM)

    def close(self, store: Store) -> None:
        """Let it go."""
        assert isinstance(store, MilvusStore)
        store.place.connection.close()

    def kept(self) -> Kept:
        """The same for the steps of an act."""
        return Kept(self.create, self.open, self.close, forgets=True)

    def __call__(self, place: Path, done: Callable[[int], None]) -> None:
        self.kept().run(place, done)

    def _place(self) -> Place:
        return Place(Connection(self.uri), self.collection)


class Server:
    """The server at `uri`, struck by faults on the way to it; what they leave in it is removed."""

    def __init__(self, uri: str, place: Path):
        self.uri, self.place = uri, place
        self._whole: tuple[float, int] | None = None  # seconds and bytes that an act takes without a fault

    def carry_out(self, kind: str, draw: random.Random) -> Outcome:
        """One fault, and what came of it."""
        if self._whole is None:
            outcome, seconds, passed = self._act("", Trouble("", WHOLE), 0.0)
            self._whole = seconds, passed
            if outcome.wrong:
                raise Problem(f"an act on {self.uri} fails without any fault: {outcome.wrong[0]}")
        seconds, passed = self._whole
        times = draw.randint(1, 3) if kind == "cut" else 1
        after = int(draw.uniform(0.02, 0.9) * passed / times)
        wait = draw.uniform(*DELAYS if kind == "delay" else STALLS)
        on_the_way = Trouble(kind, WHOLE if kind in KILLED else after, wait, times)
        return self._act(kind, on_the_way, draw.uniform(0, 0.8 * seconds))[0]

    def _act(self, kind: str, trouble: Trouble, after: float) -> tuple[Outcome, float, int]:
        """The act with this trouble; what it took and how many bytes went by. A writer is killed after some seconds."""
        collection = f"faults_{secrets.token_hex(6)}"
        here = [Reached(self.uri, collection, name) for name in ("a", "b")[: 1 + (kind == "contend")]]
        proxy = Proxy(self.uri, trouble)
        try:
            for each in here:
                each.kept().prepare(self.place)
            children = [Child(Reached(proxy.uri, collection, each.name), self.place) for each in here]
            if kind in KILLED:
                children[0].begun()
                time.sleep(after)
                children[0].kill()
            ended = [child.end() for child in children]
            wrong = _status(ended, kind)
            for each, end in zip(here, ended, strict=True):
                kept = each.kept()
                wrong += kept.wrong(self.place, kept.states(self.place), end.steps)
            struck = _struck(kind, proxy, ended[0], after)
            return Outcome(struck, tuple(wrong)), ended[0].seconds, proxy.passed
        finally:
            proxy.close()
            with contextlib.suppress(Problem):
                name = f"{collection}_{segments.DIM}"
                Connection(self.uri).ask(lambda client: client.drop_collection(name))


def _status(ended: list[Ended], kind: str) -> list[str]:
    """A writer that is not killed comes to its end, whatever happens on the way."""
    lasting = ended[1:] if kind in KILLED else ended
    return [
        f"a writer ended in status {end.status} after step {end.steps}: {end.said}"
        for end in lasting
        if end.status or end.steps < len(segments.STEPS)
    ]


def _struck(kind: str, proxy: Proxy, first: Ended, after: float) -> str | None:
    if kind in KILLED:
        return f"after {1000 * after:.1f} ms" if first.status < 0 else None
    trouble = proxy.trouble
    where = f"after {trouble.after:,} bytes, {trouble.seconds:.2f} s, {proxy.struck} of {trouble.times} times"
    return where if proxy.struck else None
