import contextlib
import hashlib
import json
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from mnemon.config import Problem, read_json, sync_folder, write_json
from mnemon.train.engine import Place
from mnemon.train.parts import Joined, Part, write_tensors
from mnemon.train.ranks import ALONE, Ranks

FORMAT, VERSION = "mnemon-checkpoint", 2


@dataclass(frozen=True)
class Checkpoint:
    """What one `step-N` folder holds: named tensors, group by group as each rank wrote them, and JSON values."""

    path: Path
    parts: dict[str, list[Part]]
    values: dict[str, Any]

    @property
    def ranks(self) -> int:
        """How many ranks wrote it."""
        return int(self.values.get("ranks", 1))

    @property
    def tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """The tensors of each group, whole."""
        return {group: Joined(parts) for group, parts in self.parts.items()}


def save(
    folder: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    values: dict[str, Any],
    ranks: Ranks = ALONE,
    places: Mapping[str, Place] | None = None,
) -> Path:
    """Write `folder`/step-N, whole or not at all: a temporary folder, everything synced, then one rename.

    Each rank writes what it holds; `places` tells of which tensors that is some rows only. The first rank renames once
    all have written, and where one cannot, all have that `Problem`.
    """
    target = folder / f"step-{step}"
    temporary = folder / f".step-{step}.{ranks.gather(secrets.token_hex(4))[0]}"
    try:
        with ranks.together(), _saving(target):
            if ranks.first:
                temporary.mkdir(parents=True)
        with ranks.together(), _saving(target):
            if not temporary.is_dir():
                raise Problem(
                    f"{folder}: made by rank 0 and not there for this one; all ranks must see the same folder"
                )
            files = _written(temporary, tensors, ranks, places or {})
        index = {name: about for found in ranks.gather(files) for name, about in found.items()}
        with ranks.together(), _saving(target):
            if ranks.first:
                about = {"format": FORMAT, "version": VERSION, "step": step, "ranks": ranks.size, "files": index}
                said = {**about, **values}
                write_json(temporary / "state.json", {**said, "digest": _digest_of(said)})
                sync_folder(temporary)
                if target.exists():  # damaged, or it would have been continued
                    shutil.rmtree(target)
                os.rename(temporary, target)
                sync_folder(folder)
    finally:
        if ranks.first:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def _written(
    folder: Path, tensors: Mapping[str, Mapping[str, Tensor]], ranks: Ranks, places: Mapping[str, Place]
) -> dict[str, Any]:
    """Write what this rank holds; for each file: its group and rank, its digest, and the places of what is in it."""
    files = {}
    for group, named in tensors.items():
        if not named and not ranks.first:
            continue
        path = folder / (
            f"{group}.safetensors" if ranks.size == 1 else f"{group}-{ranks.rank}-of-{ranks.size}.safetensors"
        )
        write_tensors(path, named)
        held = {name: places[name] for name in named if name in places}
        files[path.name] = {"group": group, "rank": ranks.rank, "digest": _digest(path), "places": held}
    return files


@contextlib.contextmanager
def _saving(target: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise Problem(
            f"{target}: the checkpoint could not be saved ({error}); earlier ones are untouched, make room and resume"
        ) from None


def prune(folder: Path, step: int, keep: int) -> None:
    """Leave the newest `keep` checkpoints up to `step`, the one just saved; later ones were damaged and replaced."""
    steps = saved_steps(folder)
    for old in [*[n for n in steps if n > step], *[n for n in steps if n <= step][keep:]]:
        shutil.rmtree(folder / f"step-{old}", ignore_errors=True)
    for torn in folder.glob(".step-*"):
        shutil.rmtree(torn, ignore_errors=True)


def saved_steps(folder: Path) -> list[int]:
    """Steps of which there is a checkpoint, newest first."""
    names = [path.name.removeprefix("step-") for path in folder.glob("step-*")]
    return sorted((int(name) for name in names if name.isdigit()), reverse=True)


def newest(folder: Path, ranks: Ranks = ALONE) -> Checkpoint:
    """The newest checkpoint that is whole, with a warning that names each damaged one passed over.

    Each of several ranks looks at its share of the files.
    """
    problems = []
    for step in saved_steps(folder):
        try:
            with ranks.together():
                found = load(folder / f"step-{step}", slice(ranks.rank, None, ranks.size))
        except Problem as problem:
            problems.append(str(problem))
            continue
        for damage in problems if ranks.first else ():
            warnings.warn(f"{damage}; continuing from the checkpoint before, step {step}", stacklevel=2)
        return found
    if problems:
        raise Problem(f"{problems[0]}; no other checkpoint is whole: start a new run from the weights in the folder")
    raise Problem(f"{folder}: no checkpoint to continue from; remove the folder and train again")


def load(path: Path, own: slice = slice(None)) -> Checkpoint:
    """What a folder of a checkpoint holds; a `Problem` that names the file if one of its files `own` is damaged."""
    state = path / "state.json"
    values = read_json(state)
    if not isinstance(values, dict) or values.get("format") != FORMAT or not isinstance(values.get("files"), dict):
        raise Problem(f"{state}: not a checkpoint of mnemon")
    if values.get("version") not in (1, VERSION):
        raise Problem(f"{state}: checkpoint format {values.get('version')}, this mnemon reads {VERSION}")
    if values["version"] > 1 and values.pop("digest", None) != _digest_of(values):
        raise Problem(f"{state}: damaged")
    files = {name: _about(name, about) for name, about in values["files"].items()}
    for name in sorted(files)[own]:
        file = path / name
        if not file.exists() or _digest(file) != files[name]["digest"]:
            raise Problem(f"{file}: damaged or missing")
    parts: dict[str, list[Part]] = {}
    for name, about in sorted(files.items(), key=lambda item: int(item[1]["rank"])):
        places = {key: (first, last) for key, (first, last) in about["places"].items()}
        parts.setdefault(about["group"], []).append(Part(path / name, places))
    return Checkpoint(path, parts, values)


def _about(name: str, about: Any) -> dict[str, Any]:
    """What the index says of a file; format 1 gave its digest alone, for one rank wrote all."""
    if isinstance(about, str):
        return {"group": name.removesuffix(".safetensors"), "rank": 0, "digest": about, "places": {}}
    return dict(about)


def _digest_of(values: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
