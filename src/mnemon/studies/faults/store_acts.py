"""Acts on stores that outlive their process: segments written, rows reset, documents forgotten, files compacted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnemon.config import Problem
from mnemon.index import MappedStore, MilvusStore, Store
from mnemon.index.milvus import Place
from mnemon.index.milvus_connection import Connection
from mnemon.studies.faults import segments
from mnemon.studies.faults.segments import Held

NAME = "struck"
PATIENCE = 1.0  # seconds for which a local file that does not answer is asked again
Acknowledge = Callable[[int], None]


@dataclass(frozen=True)
class Kept:
    """How a store in a folder is made, opened and let go; and whether it can forget documents."""

    create: Callable[[Path], Store]
    open: Callable[[Path], Store]
    close: Callable[[Store], None]
    forgets: bool

    def prepare(self, place: Path) -> None:
        """An empty store."""
        self.close(self.create(place))

    def run(self, place: Path, done: Acknowledge) -> None:
        """All steps."""
        segments.go(self.open(place), done)

    def other(self, place: Path, done: Acknowledge) -> None:
        """A second writer's one segment, as soon as it is let in."""
        while True:
            try:
                store = self.open(place)
            except Problem as problem:
                if not any(said in str(problem) for said in REFUSED):
                    raise
            else:
                segments.other(store)
                done(1)
                return

    def states(self, place: Path) -> list[Held]:
        """What rows hold before the first step, after it, and so on."""
        return segments.states(self.forgets)

    def wrong(self, place: Path, states: Sequence[Held], acknowledged: int, others: bool = False) -> list[str]:
        """What is wrong with the store: rows must be as the last step that was acknowledged left them, or the next.

        Then what is left of the act is done, and must lead to its end. `others`: a second writer has written, too.
        """
        states = [(*state[: segments.OTHER], tuple(range(segments.OTHERS)) if others else ()) for state in states]
        try:
            found, wrong = self._read(place)
            allowed = states[acknowledged : acknowledged + 2]
            if wrong or found not in allowed:
                return wrong or [segments.differs(found, allowed[0])]
            store = self.open(place)
            segments.go(store, lambda step: None, acknowledged + allowed.index(found))
            self.close(store)
            found, wrong = self._read(place)
            return wrong or ([] if found == states[-1] else [f"afterwards: {segments.differs(found, states[-1])}"])
        except Problem as problem:
            return [f"refused: {problem}"]

    def _read(self, place: Path) -> tuple[Held, list[str]]:
        store = self.open(place)
        try:
            return segments.held(store)
        finally:
            self.close(store)


REFUSED = ("open already", "cannot be opened")  # what a second writer is told


def _make_mapped(place: Path) -> Store:
    return MappedStore.create(place / "m", segments.SHAPE)


def _open_mapped(place: Path) -> Store:
    return MappedStore.open(place / "m", verify=True)


def _close_mapped(store: Store) -> None:
    assert isinstance(store, MappedStore)
    store.close()


def _place(place: Path) -> Place:
    return Place(Connection(str(place / "m.db"), PATIENCE))


def _make_local(place: Path) -> Store:
    return MilvusStore.create(_place(place), NAME, segments.SHAPE)


def _open_local(place: Path) -> Store:
    return MilvusStore.open(_place(place), NAME, segments.DIM)


def _close_local(store: Store) -> None:
    assert isinstance(store, MilvusStore)
    store.place.connection.close()


STORES = {
    "mmap": Kept(_make_mapped, _open_mapped, _close_mapped, forgets=False),
    "milvus": Kept(_make_local, _open_local, _close_local, forgets=True),
}
