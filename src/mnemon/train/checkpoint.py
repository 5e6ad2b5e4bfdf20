import hashlib
import os
import secrets
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mnemon.config import Problem, read_json, sync_folder, write_json

FORMAT, VERSION = "mnemon-checkpoint", 1


@dataclass(frozen=True)
class Checkpoint:
    """What one `step-N` folder holds: named tensors, file by file, and JSON values."""

    path: Path
    tensors: dict[str, dict[str, Tensor]]
    values: dict[str, Any]


def save(folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], values: dict[str, Any]) -> Path:
    """Write `folder`/step-N, whole or not at all: a temporary folder, everything synced, then one rename."""
    target = folder / f"step-{step}"
    temporary = folder / f".step-{step}.{secrets.token_hex(4)}"
    try:
        temporary.mkdir(parents=True)
        digests = {}
        for name, group in tensors.items():
            path = temporary / f"{name}.safetensors"
            write_tensors(path, group)
            digests[path.name] = _digest(path)
        write_json(
            temporary / "state.json", {"format": FORMAT, "version": VERSION, "step": step, "files": digests, **values}
        )
        sync_folder(temporary)
        if target.exists():  # damaged, or it would have been continued
            shutil.rmtree(target)
        os.rename(temporary, target)
        sync_folder(folder)
    except (OSError, SafetensorError) as error:
        raise Problem(
            f"{target}: the checkpoint could not be saved ({error}); earlier ones are untouched, make room and resume"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


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


def newest(folder: Path) -> Checkpoint:
    """The newest checkpoint that is whole, with a warning that names each damaged one passed over."""
    problems = []
    for step in saved_steps(folder):
        try:
            found = load(folder / f"step-{step}")
        except Problem as problem:
            problems.append(str(problem))
            continue
        for damage in problems:
            warnings.warn(f"{damage}; continuing from the checkpoint before, step {step}", stacklevel=2)
        return found
    if problems:
        raise Problem(f"{problems[0]}; no other checkpoint is whole: start a new run from the weights in the folder")
    raise Problem(f"{folder}: no checkpoint to continue from; remove the folder and train again")


def load(path: Path) -> Checkpoint:
    """What a folder of a checkpoint holds; a `Problem` that names the file if it is damaged. Nothing is unpickled."""
    state = path / "state.json"
    values = read_json(state)
    if not isinstance(values, dict) or values.get("format") != FORMAT or not isinstance(values.get("files"), dict):
        raise Problem(f"{state}: not a checkpoint of mnemon")
    if values.get("version") != VERSION:
        raise Problem(f"{state}: checkpoint format {values.get('version')}, this mnemon reads {VERSION}")
    tensors = {}
    for name, digest in values["files"].items():
        file = path / name
        if not file.exists() or _digest(file) != digest:
            raise Problem(f"{file}: damaged or missing")
        tensors[file.stem] = read_tensors(file)
    return Checkpoint(path, tensors, values)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as safetensors, synced to the disk."""
    # Clones: tensors of a state may share memory, which the format refuses.
    save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}, path)
    with open(path, "rb") as written:
        os.fsync(written.fileno())


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, in memory aligned as fresh tensors are, so that kernels give the same bits."""
    try:
        return {name: tensor.clone() for name, tensor in load_file(path).items()}
    except FileNotFoundError:
        raise Problem(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise Problem(f"{path}: damaged, or no safetensors file ({error})") from None


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
