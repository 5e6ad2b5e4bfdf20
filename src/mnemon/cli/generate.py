from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from mnemon.cli import say
from mnemon.cli.flags import parse
from mnemon.config import Problem
from mnemon.data.text import read_text
from mnemon.generate import Sampling, generate
from mnemon.train import load_run
from mnemon.train.run import pick_device

PROG = "mnemon generate"


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Read files into memory, then continue a prompt."""

    run: Positional[Path]
    """run folder"""
    prompt: str
    """text to continue"""
    remember: tuple[Path, ...] = ()
    """files to read into memory first, in this order"""
    memory: int | None = None
    """entries of the memory (default: as the model was trained)"""
    max_tokens: int = Sampling.max_tokens
    """how many tokens to write"""
    temperature: float = Sampling.temperature
    """0 takes the likeliest token"""
    top_k: int | None = None
    """draw among so many of the likeliest tokens"""
    top_p: float | None = None
    """draw among the likeliest tokens that together have this probability"""
    seed: int = Sampling.seed
    """the same seed writes the same text"""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """where to compute"""
    json: bool = False
    """print one JSON value at the end instead of the text as it is written"""


def run(words: list[str]) -> None:
    command = parse(Generate, words, PROG)
    sampling = Sampling(command.max_tokens, command.temperature, command.top_k, command.top_p, command.seed)
    texts = [(str(path), _read(path)) for path in command.remember]
    trained = load_run(command.run, str(pick_device(command.device)))
    written = generate(
        trained.model,
        trained.tokenizer,
        command.prompt,
        texts,
        sampling,
        command.memory,
        trained.config.train.precision,
        on_token=None if command.json else lambda token: say.piece(token.text),
    )
    value = {
        "prompt": command.prompt,
        "text": written.text,
        "tokens": list(written.tokens),
        "remembered": [asdict(each) for each in written.remembered],
        "seed": command.seed,
    }
    say.result(value, command.json, lambda: "")


def _read(path: Path) -> str:
    skipped: Counter[str] = Counter()
    text = read_text(path, strict=False, skipped=skipped)
    if text is None:
        raise Problem(f"{path}: {', '.join(skipped)}; only UTF-8 text can be remembered")
    return text
