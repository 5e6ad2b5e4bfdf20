"""A second writer, which comes again and again until it is let in."""

import time
from collections.abc import Callable
from pathlib import Path

from mnemon.config import Problem
from mnemon.memory import writing
from mnemon.studies.faults.texts import FINGERPRINT, document

NAME = "from another"
REFUSED = "another process"
PAUSE = 0.002


def write(place: Path, done: Callable[[int], None]) -> None:
    """Add one document to `place`/m; acknowledges 1 when that is done, and before that was refused at least once."""
    while True:
        try:
            with writing(place / "m", FINGERPRINT) as writer:
                writer.change([document(NAME)])
                done(1)
                return
        except Problem as problem:
            if REFUSED not in str(problem):
                raise
            time.sleep(PAUSE)
