"""Damage to files that lie on the disk: bits that turn over, files that are cut, sectors that read as zeros."""

import json
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from mnemon.config import Problem
from mnemon.memory import check, forget, read_contents, save, writing
from mnemon.studies.faults.acts import documents
from mnemon.studies.faults.outcome import Outcome, found_in, same
from mnemon.studies.faults.texts import FINGERPRINT, document
from mnemon.train import checkpoint

SECTOR = 512
Damage = Callable[[bytes, int, random.Random], bytes]


def _flipped(raw: bytes, at: int, draw: random.Random) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1 << draw.randrange(8)]) + raw[at + 1 :]


def _cut(raw: bytes, at: int, draw: random.Random) -> bytes:
    return raw[:at]


def _zeroed(raw: bytes, at: int, draw: random.Random) -> bytes:
    end = min(at + SECTOR, len(raw))
    return raw[:at] + bytes(end - at) + raw[end:]


DAMAGES: dict[str, Damage] = {"flipped": _flipped, "cut": _cut, "zeroed": _zeroed}


def memories(folder: Path) -> None:
    """Make the memories that are damaged: one with parts of an index, one of int8."""
    save(folder / "int8", documents(), FINGERPRINT, "int8")
    with writing(folder / "writing", FINGERPRINT) as writer:
        writer.become(documents())
        writer.change([document("new")])
        writer.change([document("newer")], [("", "a")])
        shutil.copytree(folder / "writing", folder / "parts")
    shutil.rmtree(folder / "writing")


def damage_memory(base: Path, place: Path, name: str, draw: random.Random) -> Outcome:
    """Damage one place of one file of a copy: it is told with the file, or has changed nothing; others stay whole."""
    folder = Path(shutil.copytree(base, place / "m"))
    whole = found_in(folder)
    assert whole is not None
    path = folder / draw.choice(sorted(each.name for each in folder.iterdir() if each.name != ".lock"))
    region, at = _place(path, draw)
    raw = path.read_bytes()
    damaged = DAMAGES[name](raw, at, draw)
    path.write_bytes(damaged)
    struck = f"{path.name[:8]}{path.suffix}, {region}, byte {at} of {len(raw)}" if damaged != raw else None
    try:
        if not same(found_in(folder), whole):
            return Outcome(struck, ("another memory was read, and nothing said",))
    except Problem as problem:
        if path.name not in str(problem):
            return Outcome(struck, (f"the file is not named: {problem}",))
    else:
        return Outcome(struck)
    if path.suffix == ".json":
        return Outcome(struck)
    (entry,) = [each for each in read_contents(folder).documents if each.file == path.name]
    if [each.file for each in check(folder)] != [path.name]:
        return Outcome(struck, ("check does not find it, or finds more",))
    forget(folder, entry.name)
    kept = [each for each in whole if each.name != entry.name]
    return Outcome(struck, () if same(found_in(folder), kept) and not check(folder) else ("others are not whole",))


def _place(path: Path, draw: random.Random) -> tuple[str, int]:
    """A part of the file, each as likely as the others, and a byte in it."""
    raw = path.read_bytes()
    if path.suffix != ".safetensors":
        return "all", draw.randrange(len(raw))
    begin = 8 + int.from_bytes(raw[:8], "little")
    regions = {"length": (0, 8), "header": (8, begin)}
    for name, about in json.loads(raw[8:begin]).items():
        first, last = about.get("data_offsets", (0, 0))
        if last > first:
            regions[name] = (begin + first, begin + last)
    name = draw.choice(sorted(regions))
    return name, draw.randrange(*regions[name])


def damage_checkpoint(run: Path, place: Path, name: str, draw: random.Random) -> Outcome:
    """Damage one file of the newest checkpoint: it is passed over and told, or has changed nothing."""
    folder = Path(shutil.copytree(run / "checkpoints", place / "checkpoints"))
    last, before, *_ = (checkpoint.load(folder / f"step-{step}") for step in checkpoint.saved_steps(folder))
    path = draw.choice(sorted(last.path.iterdir()))
    region, at = _place(path, draw)
    raw = path.read_bytes()
    damaged = DAMAGES[name](raw, at, draw)
    path.write_bytes(damaged)
    struck = f"{path.name}, {region}, byte {at} of {len(raw)}" if damaged != raw else None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            found = checkpoint.newest(folder)
        except Problem as problem:
            return Outcome(struck, (f"no checkpoint is left: {problem}",))
    wanted = last if found.path == last.path else before
    if found.path != last.path and not any(path.name in str(each.message) for each in told):
        return Outcome(struck, ("passed over, and the file is not named",))
    return Outcome(struck, () if _equal(found, wanted) else (f"{found.path.name} is not what was saved",))


def _equal(a: checkpoint.Checkpoint, b: checkpoint.Checkpoint) -> bool:
    if a.values != b.values or a.tensors.keys() != b.tensors.keys():
        return False
    return all(
        a.tensors[group].keys() == b.tensors[group].keys()
        and all(torch.equal(a.tensors[group][key], b.tensors[group][key]) for key in a.tensors[group])
        for group in a.tensors
    )
