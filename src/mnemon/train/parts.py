"""Named tensors in safetensors files, whole or in parts that several ranks wrote. Nothing is unpickled."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from mnemon.config import Problem
from mnemon.train.engine import Place


class Part(Mapping[str, Tensor]):
    """The tensors of one file, each read when it is asked for; `places` tells of which only some rows are in it."""

    def __init__(self, path: Path, places: Mapping[str, Place]):
        self.path, self.places = path, places
        try:
            with safe_open(path, framework="pt") as file:
                self._names = dict.fromkeys(file.keys())
        except (OSError, SafetensorError) as error:
            raise _damaged(path, error) from None

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        try:
            with safe_open(self.path, framework="pt") as file:
                # In memory aligned as fresh tensors are, so that kernels give the same bits.
                return file.get_tensor(name).clone()
        except (OSError, SafetensorError) as error:
            raise _damaged(self.path, error) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Joined(Mapping[str, Tensor]):
    """What several parts hold together: of each name the whole tensor, one at a time."""

    def __init__(self, parts: Sequence[Part]):
        self.parts = parts
        self._names = dict.fromkeys(name for part in parts for name in part)

    def __getitem__(self, name: str) -> Tensor:
        found = [part for part in self.parts if name in part]
        if not found:
            raise KeyError(name)
        if name not in found[0].places:
            return found[0][name]
        return torch.cat([part[name] for part in sorted(found, key=lambda part: part.places[name])])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


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
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> Problem:
    if isinstance(error, FileNotFoundError):
        return Problem(f"{path}: no such file")
    return Problem(f"{path}: damaged, or no safetensors file ({error})")
