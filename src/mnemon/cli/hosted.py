"""What commands that give a foreign model its memory have in common."""

from pathlib import Path
from typing import TypeVar

from mnemon.cli.flags import changed, first_word, parse, value_of, with_sections
from mnemon.config import Config, Problem
from mnemon.hosts import Memory, MemoryConfig, host_settings, load_host
from mnemon.memory import is_memory, read_contents
from mnemon.memory.folder import strangers
from mnemon.train.run import pick_device


class Attached(Config):
    """Flags `--memory...`: how the model remembers."""

    memory: MemoryConfig


Command = TypeVar("Command")


def hosted(kind: type[Command], words: list[str], prog: str) -> tuple[str, Command, MemoryConfig]:
    """The model that comes first among the words, the command, and how the model is to remember."""
    host, rest = first_word(words, kind, f"{prog} MODEL")
    config = _settings(host, value_of(rest, "--memory"))
    command = parse(with_sections(kind, config), rest, f"{prog} {host}")
    return host, command, changed(config, command, prog).memory


def _settings(host: str, file: str | None) -> Attached:
    """How the model remembers where no flag says otherwise: as its folder says, in the layers of the memory's file."""
    if file is None or begun(Path(file)):
        return Attached(memory=host_settings(host))
    its = read_contents(Path(file)).fingerprint
    return Attached(memory=host_settings(host, layers=its.layers, positions=its.positions, value=its.value))


def loaded(host: str, config: MemoryConfig, file: Path, download: bool, device: str, verify: bool) -> Memory:
    """The model with what the memory's file holds, or with nothing where there is no file yet."""
    memory = load_host(host, download, **dict(config))
    memory.model.to(pick_device(device))  # type: ignore[arg-type]  # transformers' annotation lacks devices
    return Memory.load(file, memory.model, memory.tokenizer, verify=verify) if not begun(file) else memory


def begun(file: Path) -> bool:
    """Whether there is nothing yet where a memory is to be; also where a process died before it wrote anything."""
    return not file.exists() or (file.is_dir() and not is_memory(file) and not strangers(file))


def check_folder(file: Path) -> None:
    """A `Problem` unless a memory is there, or could be."""
    if file.exists() and not file.is_dir():
        raise Problem(f"{file}: a file is in the way; a memory is a folder")
