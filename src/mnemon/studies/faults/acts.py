"""What is struck: acts of several steps on a memory. A step is acknowledged once it has returned."""

import importlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnemon.memory import Document, forget, load, merge, save, writing
from mnemon.studies.faults.texts import FINGERPRINT, document, shorter, text

Acknowledge = Callable[[int], None]  # told how many steps are done
Memory = list[Document] | None  # documents in their order; None where there is no memory

NAMES = tuple("abcdef")
CUT = {4: 5, 11: 20, 17: 70}  # entries that a document has lost by some steps; most of them by the last
READ, KEPT, CHANGED = 7, 2, 1  # texts that are read, that are there already, and that have changed since


@dataclass(frozen=True)
class Act:
    """`prepare` makes what is there before, `run` does the steps and acknowledges each, in the folder given.

    `states`: what the memory in `folder` holds before the first step, after it, and so on, given the place where the
    act was once done to its end.
    """

    prepare: Callable[[Path], None]
    run: Callable[[Path, Acknowledge], None]
    states: Callable[[Path], list[Memory]]
    folder: str = "m"


def documents(names: Sequence[str] = NAMES) -> list[Document]:
    """A document for each letter, longer ones among them."""
    return [document(name, seed=ord(name), n=3 + 40 * (ord(name) % 3)) for name in names]


def _prepared(place: Path) -> None:
    save(place / "m", documents(), FINGERPRINT)


def _save(place: Path, done: Acknowledge) -> None:
    for step, state in enumerate(_saved(place)[1:], 1):
        save(place / "m", state or [], FINGERPRINT)
        done(step)


def _saved(place: Path) -> list[Memory]:
    return [documents(), [*documents(), document("new")], [document("new", 1), *documents("fa")], documents("ab")]


def _forget(place: Path, done: Acknowledge) -> None:
    for step, name in enumerate("bfa", 1):
        forget(place / "m", name)
        done(step)


def _forgotten(place: Path) -> list[Memory]:
    return [documents(names) for names in ("abcdef", "acdef", "acde", "cde")]


def _changes() -> Iterator[tuple[Document, list[str], list[Document]]]:
    """What comes and goes step by step, and documents that lose their oldest entries, as a full memory's do."""
    (long,) = documents("b")
    for step in range(1, 21):
        gone = [f"g{step - 3}"] if step % 5 == 0 else []
        yield document(f"g{step}", step, n=2), gone, [shorter(long, CUT[step])] if step in CUT else []


def _grow(place: Path, done: Acknowledge) -> None:
    """Changes one by one, so many that the index is written anew among them and at the end."""
    with writing(place / "m", FINGERPRINT) as writer:
        for step, (came, gone, cut) in enumerate(_changes(), 1):
            writer.change([came], [("", name) for name in gone], {("", each.name): each for each in cut})
            done(step)


def _grown(place: Path) -> list[Memory]:
    now = {each.name: each for each in documents()}
    states: list[Memory] = [[*now.values()]]
    for came, gone, cut in _changes():
        for name in gone:
            del now[name]
        for each in (*cut, came):
            now[each.name] = each
        states.append([*now.values()])
    return states


def _two(place: Path) -> None:
    save(place / "m", documents("abc"), FINGERPRINT)
    save(place / "n", documents("cdef"), FINGERPRINT)


def _merge(place: Path, done: Acknowledge) -> None:
    merge(place / "both", [place / "m", place / "n"])
    done(1)


def _texts(place: Path) -> None:
    """Files of which some are remembered already, one of them in another version."""
    (place / "texts").mkdir()
    for number in range(KEPT):
        (place / "texts" / f"{number}.txt").write_text(text(number, int(number < CHANGED)))
    _remember(place, lambda step: None)
    for number in range(READ):
        (place / "texts" / f"{number}.txt").write_text(text(number))
    shutil.copytree(place / "m", place / "before")


def _remember(place: Path, done: Acknowledge) -> None:
    importlib.import_module("mnemon.studies.faults.reading").read(place, done)  # needs transformers


def _remembered(place: Path) -> list[Memory]:
    before, after = ({each.name: each for each in load(place / name)[1]} for name in ("before", "m"))
    state = list(before.values())
    states: list[Memory] = [state]
    for number in range(READ):
        name = f"texts/{number}.txt"
        if name not in before or before[name].text != after[name].text:
            state = [*(each for each in state if each.name != name), after[name]]
            states.append(state)
    return states


ACTS = {
    "save": Act(_prepared, _save, _saved),
    "forget": Act(_prepared, _forget, _forgotten),
    "grow": Act(_prepared, _grow, _grown),
    "merge": Act(_two, _merge, lambda place: [None, documents()], "both"),
    "remember": Act(_texts, _remember, _remembered),
}
