from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mnemon.config import Problem, read_json, replacing, write_json
from mnemon.data import Tokenizer, load_tokenizer
from mnemon.model import Transformer
from mnemon.train.config import RunConfig
from mnemon.train.parts import read_tensors, write_tensors

FORMAT, VERSION = "mnemon-run", 1
FILES = ("config.json", "tokenizer.json", "model.safetensors", "metrics.jsonl")
# Parts of a layer that another run may lack: they keep their start values when its weights are taken over.
ADDED = ("gate", "span", "pools")
# Parts that another run may have in layers where this one has none: the gates of a memory that is not there.
DROPPED = ("gate",)


@dataclass(frozen=True)
class Run:
    """A trained model with what it was made of, the tokenizer it reads with and the folder it comes from."""

    folder: Path
    config: RunConfig
    model: Transformer
    tokenizer: Tokenizer


def load_run(path: Path | str, device: str = "cpu") -> Run:
    """The newest weights of a run folder, ready to be evaluated or to generate."""
    path = Path(path)
    config = read_config(path)
    tokenizer = load_tokenizer(path / "tokenizer.json")
    if not 0 < tokenizer.vocab_size <= config.model.vocab_size:
        raise Problem(
            f"{path / 'tokenizer.json'}: {tokenizer.vocab_size} tokens, but the model has {config.model.vocab_size}"
        )
    model = config.model.build()
    take_weights(model, path / "model.safetensors")
    return Run(path, config, model.to(device).eval(), tokenizer)


def read_config(path: Path) -> RunConfig:
    """The config of a run folder."""
    if not path.is_dir():
        raise Problem(f"{path}: no such run folder")
    file = path / "config.json"
    values = read_json(file)
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise Problem(f"{file}: not the config of a run of mnemon")
    version = values.pop("version", None)
    if version != VERSION:
        raise Problem(f"{file}: run format {version}, this mnemon reads {VERSION}; use a newer one")
    return RunConfig.parse(values, str(file))


def write_config(path: Path, config: RunConfig) -> None:
    """Write the resolved config of a run folder."""
    values: dict[str, Any] = config.model_dump(mode="json")
    write_json(path / "config.json", {"format": FORMAT, "version": VERSION, **values})


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write `model.safetensors` of a run folder, whole or not at all."""
    with replacing(path / "model.safetensors") as temporary:
        write_tensors(temporary, weights)


def take_weights(model: nn.Module, path: Path, added: tuple[str, ...] = (), dropped: tuple[str, ...] = ()) -> None:
    """Give the model the weights in a file, matched by name.

    Parts named in `added` that the file lacks keep their values, those named in `dropped` that the model lacks are left
    behind; a `Problem` if anything else is missing, left over or of another shape.
    """
    found, own = read_tensors(path), model.state_dict()
    lacking = [name for name in own if name not in found and not set(name.split(".")) & set(added)]
    unknown = [name for name in found if name not in own and not set(name.split(".")) & set(dropped)]
    if lacking or unknown:
        said = f"lacks {lacking[0]!r}" if lacking else f"holds {unknown[0]!r}, which this model has not"
        raise Problem(f"{path}: weights of another kind of model: it {said}")
    found = {name: tensor for name, tensor in found.items() if name in own}
    for name, tensor in found.items():
        if tensor.shape != own[name].shape:
            raise Problem(f"{path}: {name!r} is {list(tensor.shape)} there and {list(own[name].shape)} in this model")
    model.load_state_dict(found, strict=False)


def remove_torn(path: Path) -> None:
    """Remove what a killed process was writing to a run folder."""
    for name in FILES:
        for torn in path.glob(f".{name}.*"):
            torn.unlink()


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` is the first of cuda, mps and cpu that is there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, found in there.items() if found)
    if not there.get(name, False):
        raise Problem(f"device {name!r}: not available on this machine; use auto or cpu")
    return torch.device(name)
