import random
import shutil
from pathlib import Path

from mnemon.config import Problem
from mnemon.index import MappedStore
from mnemon.studies.faults import segments
from mnemon.studies.faults.damaging import DAMAGES
from mnemon.studies.faults.outcome import Outcome


def damage_store(base: Path, place: Path, name: str, draw: random.Random) -> Outcome:
    """Damage one place of one file of a memory-mapped store: what is found is right, or the damage is told.

    Held against its digests, the store is whole or the damage is told in any case.
    """
    folder = Path(shutil.copytree(base / "m", place / "m"))
    path = draw.choice(sorted(each for each in folder.rglob("*") if each.is_file() and each.name != "lock"))
    raw = path.read_bytes()
    at = draw.randrange(len(raw))
    damaged = DAMAGES[name](raw, at, draw)
    path.write_bytes(damaged)
    struck = f"{path.name}, byte {at} of {len(raw)}" if damaged != raw else None
    wanted = segments.states(forgets=False)[-1]
    for verify in (False, True):
        try:
            store = MappedStore.open(folder, verify)
        except Problem:
            continue
        try:
            found, wrong = segments.held(store)
        except Problem:
            if verify:
                return Outcome(struck, ("damage is found by a search, and not by reading everything",))
            continue
        finally:
            store.close()
        if wrong or (verify and found != wanted):
            return Outcome(struck, (*wrong, segments.differs(found, wanted)))
    return Outcome(struck)
