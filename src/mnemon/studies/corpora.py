import hashlib
import json
from pathlib import Path
from typing import Any

from mnemon.data.source import ready_splits


def about(source: str) -> dict[str, Any]:
    """What a page must say of a corpus that a user brings: its `stats.json`'s origin and licence, and md5s."""
    place = Path(source.partition(":")[2] or source)
    if not place.exists():
        return {"licence": "each package's own", "origin": "the Python files of this environment"}
    files = (
        [*ready_splits(place, ".jsonl").values(), *ready_splits(place, ".txt").values()] if place.is_dir() else [place]
    )
    found: dict[str, Any] = {"md5": {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in files}}
    stats = place / "stats.json"
    if stats.exists():
        values = json.loads(stats.read_text(encoding="utf-8"))
        found |= {key: values[key] for key in ("what", "origin", "licence") if key in values}
    return found
