from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from mnemon.cli import say
from mnemon.cli.flags import parse
from mnemon.hub import export
from mnemon.train import load_run

PROG = "mnemon export"


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a run for transformers: model and tokenizer, to be loaded by AutoModelForCausalLM and AutoTokenizer."""

    run: Positional[Path]
    """run folder"""
    folder: Positional[Path]
    """where to write; new or empty"""
    json: bool = False
    """print one JSON value"""


def run(words: list[str]) -> None:
    command = parse(Export, words, PROG)
    trained = load_run(command.run)
    made = export(trained.model, trained.tokenizer, command.folder)
    files = sorted(path.name for path in command.folder.iterdir())
    value = {
        "run": str(command.run),
        "folder": str(command.folder),
        "parameters": made.num_parameters(),
        "vocabulary": trained.tokenizer.vocab_size,
        "files": files,
    }
    lines = f"{command.folder}: {', '.join(files)}\nto load it: import mnemon.hub, then from_pretrained"
    say.result(value, command.json, lambda: lines)
