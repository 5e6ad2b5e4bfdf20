import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from mnemon.cli import say
from mnemon.cli.hosted import begun, hosted, loaded
from mnemon.config import Problem
from mnemon.generate import Sampling
from mnemon.hosts import Passage, ask, drawing, passages

PROG = "mnemon ask"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Put a question to a foreign model that remembers. With its name before --help: also how it remembers."""

    question: Annotated[Positional[str], tyro.conf.arg(metavar="QUESTION")]
    """what to ask, or a text to continue"""
    memory: Path
    """folder that keeps the memory"""
    cite: bool = False
    """say which passages the answer came from"""
    namespace: str = ""
    """whose documents are seen"""
    max_tokens: int = Sampling.max_tokens
    """how many tokens to write"""
    temperature: float = 0.0
    """0 takes the likeliest token"""
    top_k: int | None = None
    """draw among so many of the likeliest tokens"""
    top_p: float | None = None
    """draw among the likeliest tokens that together have this probability"""
    seed: int = Sampling.seed
    """the same seed writes the same text"""
    no_chat: bool = False
    """give the question as it is, although the tokenizer has a chat template"""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """where to compute"""
    download: bool = False
    """fetch the model from the hub if it is not here"""
    json: bool = False
    """print one JSON value at the end instead of the text as it is written"""


def run(words: list[str]) -> None:
    host, command, config = hosted(Ask, words, PROG)
    if begun(command.memory):
        raise Problem(
            f"{command.memory}: no such memory; mnemon remember {host} --memory {command.memory} DOCS makes one"
        )
    drawn = Sampling(command.max_tokens, command.temperature, command.top_k, command.top_p, command.seed)
    memory = loaded(host, config, command.memory, command.download, command.device, verify=False)
    answer = ask(
        memory,
        command.question,
        drawing(memory.model, drawn.max_tokens, drawn.temperature, drawn.top_k, drawn.top_p),
        command.namespace,
        command.seed,
        not command.no_chat,
        command.cite,
        None if command.json else say.piece,
    )
    cited = passages(answer.cited, memory.documents, command.namespace, memory.tokenizer)
    value = {
        "question": command.question,
        "answer": answer.text,
        "tokens": list(answer.tokens),
        "passages": [asdict(each) for each in cited],
    }
    say.result(value, command.json, lambda: "\n".join(["", *_lines(cited)]) if command.cite else "")


def _lines(cited: Sequence[Passage]) -> list[str]:
    """The passages one below the other; each after the words that it was cited for."""
    if not cited:
        return ["", "no part of the answer drew on the memory enough to name a passage"]
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    lines = []
    for number, each in enumerate(cited, start=1):
        at = f"line {each.line}" if each.line == each.last_line else f"lines {each.line} to {each.last_line}"
        lines += ["", f"[{number}] {' '.join(each.said.split())!r}  {each.document}, {at}  (share {each.weight:.2f})"]
        lines += textwrap.wrap(each.quote, width, initial_indent="    ", subsequent_indent="    ")
    return lines
