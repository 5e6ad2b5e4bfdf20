from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnemon.config import Problem
from mnemon.memory import Document, check, is_memory, load, read_contents, save
from mnemon.studies.faults.texts import equal

Memory = list[Document] | None


@dataclass(frozen=True)
class Outcome:
    """What came of a fault: when it struck, or None where the act was over before; and what was wrong afterwards."""

    struck: str | None
    wrong: tuple[str, ...] = ()


def same(found: Memory, wanted: Memory) -> bool:
    """Whether two memories hold the same documents in the same order, to the last bit."""
    if found is None or wanted is None:
        return found is wanted
    return len(found) == len(wanted) and all(equal(*pair) for pair in zip(found, wanted, strict=True))


def found_in(folder: Path) -> Memory:
    """What a reader finds, everything held against its digests."""
    return load(folder, verify=True)[1] if is_memory(folder) else None


def wrong_with(folder: Path, states: Sequence[Memory], acknowledged: int) -> list[str]:
    """What is wrong with a memory: it must be as the last step that was acknowledged left it, or as the next one does.

    So nothing acknowledged is lost, and nothing forgotten is back. The next writer must get in, and leave the files of
    the documents that are there, and no others.
    """
    try:
        found = found_in(folder)
        allowed = states[acknowledged : acknowledged + 2]
        if not any(same(found, state) for state in allowed):
            return [_differs(found, allowed[0])]
        if found is None:
            return []
        save(folder, found, read_contents(folder).fingerprint)
        findings = check(folder)
        if findings:
            return [f"{findings[0].file}: {findings[0].what}"]
        return [] if same(found_in(folder), found) else ["another memory after the next writer"]
    except Problem as problem:
        return [f"refused: {problem}"]


def _differs(found: Memory, wanted: Memory) -> str:
    if found is None or wanted is None:
        return "there is no memory" if found is None else "there is a memory"
    here, there = ({each.name: each for each in side} for side in (found, wanted))
    lost = [name for name in there if name not in here or not equal(here[name], there[name])]
    back = [name for name in here if name not in there]
    return f"lost: {', '.join(lost) or 'nothing'}; not acknowledged, or back: {', '.join(back) or 'nothing'}"
