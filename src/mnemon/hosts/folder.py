from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from mnemon.config import Problem, read_json, write_json
from mnemon.hosts.attach import attach
from mnemon.hosts.config import MemoryConfig
from mnemon.hosts.fingerprint import OWN
from mnemon.hosts.memory import Memory
from mnemon.hosts.persistent import Persistent

SETTINGS, GATES = "memory.json", "memory_gate.safetensors"
VECTORS = ".persistent.keys"


def save_host(memory: Memory, folder: Path | str) -> None:
    """A host, its tokenizer, its memory's settings and gates as one folder; what it has read is not in it.

    Without `memory.json` and `memory_gate.safetensors` it is a folder that transformers has written; of a host with
    adapters it holds these, and the name of the host that they belong to.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = memory.model.state_dict()
    plain = {name: weight for name, weight in weights.items() if OWN not in name}
    with _quietly():
        memory.model.save_pretrained(folder, state_dict=plain)
    if memory.tokenizer is not None:
        memory.tokenizer.save_pretrained(folder)
    save_file({name: weights[name].contiguous() for name in weights.keys() - plain.keys()}, folder / GATES)
    write_json(folder / SETTINGS, {"format": 1, **memory.config.model_dump(mode="json")})


def load_host(folder: Path | str, download: bool = False, **changed: object) -> Memory:
    """The host of a folder with an empty memory attached: as it was saved, or as `changed` settings have it.

    A folder that transformers wrote, without a memory, gets one of the default settings. A name of the hub goes too.
    """
    folder = Path(folder)
    model, tokenizer = pretrained(str(folder), download)
    settings = host_settings(folder, **changed)
    memory = attach(model, tokenizer, **dict(settings))
    if (folder / GATES).is_file():
        weights = load_file(folder / GATES)
        _make_room(model, weights)
        _, unexpected = model.load_state_dict(weights, strict=False)
        if unexpected:
            raise Problem(f"{folder / GATES}: gates of other layers than {SETTINGS} says: {', '.join(unexpected)}")
    return memory


def _make_room(model: PreTrainedModel, weights: Mapping[str, Tensor]) -> None:
    """Put persistent vectors where a file has some."""
    for name in weights:
        gate, is_keys, _ = name.partition(VECTORS)
        if is_keys:
            values, share = weights[f"{gate}.persistent.values"], weights.get(f"{gate}.persistent.gate")
            module: Any = model.get_submodule(gate)
            module.persistent = Persistent(weights[name], values, share)


def host_settings(folder: Path | str, **changed: object) -> MemoryConfig:
    """The settings that a folder's memory was saved with, or the default ones, with those that have `changed`."""
    path = Path(folder) / SETTINGS
    saved = read_json(path) if path.is_file() else {"format": 1}
    if not isinstance(saved, dict) or saved.pop("format", None) != 1:
        raise Problem(f"{path}: not the settings of a memory that this mnemon reads")
    return MemoryConfig.parse({**saved, **changed}, str(path))


def pretrained(name: str, download: bool = False) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A host and its tokenizer, from a folder or by a name of the hub; one that is not here is fetched if asked for."""
    folder = Path(name)
    known = [folder / file for file in ("config.json", "adapter_config.json")]
    if folder.exists() and not any(file.is_file() for file in known):
        raise Problem(f"{folder}: no folder of a transformers model (it has no config.json)")
    try:
        with _quietly():
            only = folder.exists() or not download
            model: Any = AutoModelForCausalLM.from_pretrained(name, local_files_only=only, use_safetensors=True)
            return model, AutoTokenizer.from_pretrained(name, local_files_only=only)
    except (OSError, ValueError, SafetensorError) as error:
        said = f"transformers cannot load it ({error})"
        if not folder.exists() and not download:
            said = "no such folder, and no model of the hub that is already here; --download fetches one"
        raise Problem(f"{name}: {said}") from None


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the progress bars of transformers, which would be those of a second."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
