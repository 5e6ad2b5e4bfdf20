"""The files of a local copy: of a folder, of a zip archive, or one file."""

import os
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mnemon.config import Problem
from mnemon.data.text import PACKED, read_bytes

Files = dict[str, Callable[[], bytes]]


def files_of(place: Path) -> Files:
    """What reads each file, by its path inside the copy and without the suffix of its compression, in path order.

    Hidden files are left out. A folder that holds nothing but a zip archive is that archive.
    """
    if place.is_dir():
        found = _below(place)
        only = next(iter(found.values())) if len(found) == 1 else None
        if only is None or only.suffix != ".zip":
            return {_plain(name): partial(read_bytes, path) for name, path in found.items()}
        place = only
    if place.suffix == ".zip":
        return _members(place)
    if not place.exists():
        raise Problem(f"{place}: no such file or folder")
    return {_plain(place.name): partial(read_bytes, place)}


def _plain(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix in PACKED else name


def _below(folder: Path) -> dict[str, Path]:
    found = []
    for inside, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(inside, name) for name in names if not name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path for path in sorted(found) if path.is_file()}


def _members(place: Path) -> Files:
    try:
        with zipfile.ZipFile(place) as archive:
            names = sorted(each.filename for each in archive.infolist() if not each.is_dir())
    except (OSError, zipfile.BadZipFile) as error:
        raise Problem(f"{place}: cannot be read as a zip archive ({error})") from None
    return {name: partial(_member, place, name) for name in names if not name.startswith(("__MACOSX/", "."))}


def _member(place: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(place) as archive:
            return archive.read(name)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise Problem(f"{place}: damaged, {name} cannot be unpacked ({error})") from None
