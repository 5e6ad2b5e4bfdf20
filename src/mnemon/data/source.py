"""What a source names: a known data set, a folder, a glob, JSON Lines or a byte stream."""

from collections.abc import Collection
from pathlib import Path

from mnemon.config import Problem, nearest
from mnemon.data.text import PACKED, unpacked_name

SPLITS = ("train", "valid", "test")
HUB_SPLITS = {"train": "train", "valid": "validation", "test": "test"}  # as most data sets call them


def ready_splits(folder: Path, suffix: str) -> dict[str, Path]:
    """The files `train`, `valid` and `test` with this suffix, plain or packed, as far as the folder holds them."""
    names = {split: [f"{split}{suffix}{packed}" for packed in ("", *PACKED)] for split in SPLITS}
    found = {
        split: [folder / name for name in several if (folder / name).is_file()] for split, several in names.items()
    }
    for split, files in found.items():
        if len(files) > 1:
            raise Problem(f"{folder}: {files[0].name} and {files[1].name} are both the {split} split; keep one")
    return {split: files[0] for split, files in found.items() if files}


def resolved(source: str, known: list[str], named: Collection[str] = ()) -> tuple[str, str]:
    """The data set's kind and the path to give it; `kind:path` says the kind outright.

    A source that is the name of a data set in `named`, and also that of a file or folder, is a copy of that data set.
    """
    if not source:
        raise Problem("no data source given: name a folder, a file or python-env with --data")
    kind, colon, path = source.partition(":")
    if kind in known and (colon or not Path(source).exists()):
        return kind, path
    if source in named:
        return source, source
    if set("*?[").intersection(source) and not Path(source).exists():
        return "folder", source
    place = Path(source)
    if place.is_dir():
        return _kind_of_folder(place), source
    if place.is_file():
        return "jsonl" if unpacked_name(place).endswith(".jsonl") else "bytes", source
    beside = [str(place.parent / name.name) for name in place.parent.iterdir()] if place.parent.is_dir() else []
    raise Problem(f"data source {source!r}: no such data set, file or folder{_hint(source, known, beside)}")


def _kind_of_folder(folder: Path) -> str:
    if ready_splits(folder, ".jsonl"):
        return "jsonl"
    # One file of such a name may well be a document among others; two are a split.
    return "bytes" if len(ready_splits(folder, ".txt")) > 1 else "folder"


def _hint(source: str, known: list[str], beside: list[str]) -> str:
    close = nearest(source, known + beside)
    return close if close.startswith(" (did") else nearest(source, known)
