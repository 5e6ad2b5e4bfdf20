from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from mnemon.config import Problem, read_json, write_json
from mnemon.hosts.attach import attach
from mnemon.hosts.config import MemoryConfig
from mnemon.hosts.fingerprint import OWN
from mnemon.hosts.memory import Memory

SETTINGS, GATES = "memory.json", "memory_gate.safetensors"


def save_host(memory: Memory, folder: Path) -> None:
    """A host, its tokenizer, its memory's settings and gates as one folder; what it has read is not in it.

    Without `memory.json` and `memory_gate.safetensors` it is a folder that transformers has written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = memory.model.state_dict()
    plain = {name: weight for name, weight in weights.items() if OWN not in name}
    with _quietly():
        memory.model.save_pretrained(folder, state_dict=plain)
    if memory.tokenizer is not None:
        memory.tokenizer.save_pretrained(folder)
    save_file({name: weights[name].contiguous() for name in weights.keys() - plain.keys()}, folder / GATES)
    write_json(folder / SETTINGS, {"format": 1, **memory.config.model_dump(mode="json")})


def load_host(folder: Path, **changed: object) -> Memory:
    """The host of a folder with an empty memory attached: as it was saved, or as `changed` settings have it.

    A folder that transformers wrote, without a memory, gets one of the default settings. Nothing is downloaded.
    """
    if not (folder / "config.json").is_file():
        raise Problem(f"{folder}: no folder of a transformers model (it has no config.json)")
    model, tokenizer = _loaded(folder)
    saved = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {"format": 1}
    if not isinstance(saved, dict) or saved.pop("format", None) != 1:
        raise Problem(f"{folder / SETTINGS}: not the settings of a memory that this mnemon reads")
    settings = MemoryConfig.parse({**saved, **changed}, str(folder / SETTINGS))
    memory = attach(model, tokenizer, **dict(settings))
    if (folder / GATES).is_file():
        _, unexpected = model.load_state_dict(load_file(folder / GATES), strict=False)
        if unexpected:
            raise Problem(f"{folder / GATES}: gates of other layers than {SETTINGS} says: {', '.join(unexpected)}")
    return memory


def _loaded(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    try:
        with _quietly():
            model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True)
            return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise Problem(f"{folder}: transformers cannot load it ({error})") from None


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
