import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnemon.config import Problem
from mnemon.studies.faults import contending, training
from mnemon.studies.faults.acts import ACTS, Act
from mnemon.studies.faults.children import Child, Ended
from mnemon.studies.faults.damaging import DAMAGES, damage_checkpoint, damage_memory, memories
from mnemon.studies.faults.outcome import Memory, Outcome, found_in, same, wrong_with
from mnemon.studies.faults.plan import SERVER, Fault
from mnemon.studies.faults.server_acts import Server
from mnemon.studies.faults.store_acts import STORES, Kept
from mnemon.studies.faults.store_damage import damage_store
from mnemon.studies.faults.striking import Strike
from mnemon.studies.faults.training import TRAININGS


@dataclass
class Scene:
    """What an act begins with, what it leads to, how many calls and seconds that takes, its longest new file, and
    the losses of a training."""

    prepared: Path
    states: list[Any]  # of a memory or a store
    whole: Ended
    longest: int
    losses: list[training.Step]


class Kit:
    """Carries out faults in folders below `place`, and on the way to the server at `milvus`."""

    def __init__(self, place: Path, milvus: str = ""):
        self.place = place
        self._server = Server(milvus, place)
        self._scenes: dict[str, Scene] = {}

    def carry_out(self, fault: Fault) -> Outcome:
        """One fault, and what came of it."""
        draw, place = random.Random(fault.seed), self.place / f"fault-{fault.number}"
        try:
            if fault.target == SERVER:
                return self._server.carry_out(fault.kind, draw)
            if fault.kind == "damage":
                return self._damage(fault.target, place, draw)
            scene = self.scene(fault.target)
            shutil.copytree(scene.prepared, place)
            if fault.kind in ("contend", "watched"):
                return self._together(fault, scene, place, draw)
            ended, struck = self._struck(fault, scene, place, draw)
            return Outcome(struck, (*_status(fault.kind, ended, struck), *self._after(fault, scene, place, ended)))
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def scene(self, target: str) -> Scene:
        """The scene of an act, made when it is first needed."""
        if target not in self._scenes:
            prepared, done = self.place / f"{target}-before", self.place / f"{target}-after"
            prepared.mkdir(parents=True)
            if target not in TRAININGS:
                _alone(Child(_Prepare(target), prepared).end())
            shutil.copytree(prepared, done)
            whole = _alone(Child(_work(target), done, Strike("count")).end())
            losses = training.losses(done) if target in TRAININGS else []
            states = [] if target in TRAININGS else _act(target).states(done)
            self._scenes[target] = Scene(prepared, states, whole, _longest(prepared, done), losses)
        return self._scenes[target]

    def _struck(self, fault: Fault, scene: Scene, place: Path, draw: random.Random) -> tuple[Ended, str | None]:
        """The act, struck; and when that was."""
        work = _work(fault.target)
        if fault.kind == "moment":
            after = draw.uniform(0, 0.8 * scene.whole.seconds)
            child = Child(work, place)
            child.begun()
            time.sleep(after)
            child.kill()
            ended = child.end()
            return ended, f"after {1000 * after:.1f} ms" if ended.status < 0 else None
        limited = fault.kind == "limit"
        at = draw.randrange(1, scene.longest) if limited else draw.randint(1, scene.whole.calls)
        ended = Child(work, place, Strike(fault.kind, at, fault.seed)).end()
        where = f"{at} bytes" if limited else f"call {at} of {scene.whole.calls}"
        return ended, where if ended.status else None

    def _after(self, fault: Fault, scene: Scene, place: Path, ended: Ended) -> list[str]:
        """What is wrong after an act was struck; then it is done again, to its end."""
        if fault.target in TRAININGS:
            again = Child(_work(fault.target), place).end()
            if again.status:
                return [f"cannot be continued: {again.said}"]
            return [] if training.losses(place) == scene.losses else ["other losses than without the fault"]
        if fault.target in STORES:
            return STORES[fault.target].wrong(place, scene.states, ended.steps)
        wrong = wrong_with(place / ACTS[fault.target].folder, scene.states, ended.steps)
        if not wrong and fault.target == "remember":
            again = Child(_work(fault.target), place).end()
            wrong = [again.said] if again.status else wrong_with(place / "m", scene.states, len(scene.states) - 1)
        return wrong

    def _damage(self, target: str, place: Path, draw: random.Random) -> Outcome:
        place.mkdir(parents=True)
        name = draw.choice([*DAMAGES])
        if target == "checkpoint":
            self.scene("train")
            return damage_checkpoint(self.place / "train-after" / "run", place, name, draw)
        if target in STORES:
            self.scene(target)
            return damage_store(self.place / f"{target}-after", place, name, draw)
        base = self.place / "damaged"
        if not base.exists():
            memories(base)
        return damage_memory(base / target, place, name, draw)

    def _together(self, fault: Fault, scene: Scene, place: Path, draw: random.Random) -> Outcome:
        """An act that is killed beside a writer that waits for its turn, or beside a reader."""
        first = Child(_work(fault.target), place, Strike("kill", draw.randint(1, scene.whole.calls)))
        write = STORES[fault.target].other if fault.target in STORES else contending.write
        other = Child(write, place) if fault.kind == "contend" else None
        wrong = [] if other else _watch(first, place / "m", scene.states)
        ended = first.end()
        if other is None:
            wrong += wrong_with(place / "m", scene.states, ended.steps)
        else:
            late = other.end()
            if late.status or late.steps != 1:
                wrong.append(f"the other writer did not get in: {late.said}")
            if fault.target in STORES:
                wrong += STORES[fault.target].wrong(place, scene.states, ended.steps, others=True)
            else:
                wrong += _both(place / "m", scene.states, ended.steps)
        return Outcome(f"after step {ended.steps}" if ended.status else None, tuple(wrong))


@dataclass(frozen=True)
class _Prepare:
    """The work that makes what an act begins with."""

    target: str

    def __call__(self, place: Path, done: Callable[[int], None]) -> None:
        _act(self.target).prepare(place)


def _work(target: str) -> Callable[[Path, Callable[[int], None]], None]:
    return TRAININGS[target] if target in TRAININGS else _act(target).run


def _act(target: str) -> Act | Kept:
    return STORES[target] if target in STORES else ACTS[target]


def _longest(before: Path, after: Path) -> int:
    """Bytes of the longest file that an act has written."""
    old, new = ({each.relative_to(at): each for each in at.rglob("*") if each.is_file()} for at in (before, after))
    changed = [file for name, file in new.items() if name not in old or old[name].read_bytes() != file.read_bytes()]
    return max(each.stat().st_size for each in changed)


def _alone(ended: Ended) -> Ended:
    if ended.status:
        raise Problem(f"an act fails without any fault, with status {ended.status}: {ended.said}")
    return ended


def _status(kind: str, ended: Ended, struck: str | None) -> list[str]:
    """A full disk must end in one line; a kill ends in nothing."""
    if struck is None:
        return []
    if kind in ("full", "limit"):
        one_line = ended.status == 2 and ended.said and "\n" not in ended.said
        return [] if one_line else [f"a full disk ended in status {ended.status}: {ended.said!r}"]
    return [] if ended.status == -9 else [f"killed, and ended in status {ended.status}: {ended.said!r}"]


def _watch(writer: Child, folder: Path, states: Sequence[Memory]) -> list[str]:
    """Read the memory again and again while it is written: what is found is always one of its states."""
    while writer.process.is_alive():
        try:
            found = found_in(folder)
        except Problem as problem:
            return [f"a reader beside the writer: {problem}"]
        if not any(same(found, state) for state in states):
            return ["a reader beside the writer saw a mixture"]
    return []


def _both(folder: Path, states: Sequence[Memory], acknowledged: int) -> list[str]:
    """As `wrong_with`, where another writer has added one document at some time."""
    found = found_in(folder) or []
    if sum(each.name == contending.NAME for each in found) != 1:
        return ["the other writer's document is lost"]
    kept = [each for each in found if each.name != contending.NAME]
    allowed = states[acknowledged : acknowledged + 2]
    return [] if any(same(kept, state) for state in allowed) else ["a mixture of two writers"]
