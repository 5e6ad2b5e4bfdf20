from dataclasses import dataclass

from mnemon.cli import say
from mnemon.cli.flags import changed, first_word, of_kinds, parse, with_sections
from mnemon.config import Problem
from mnemon.recipes import count_parameters, recipe

PROG = "mnemon params"


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of a recipe, part by part, without allocating them."""

    json: bool = False
    """print one JSON value"""


def run(words: list[str]) -> None:
    name, rest = first_word(words, Params, f"{PROG} RECIPE")
    config = of_kinds(recipe(name), rest)
    command = parse(with_sections(Params, config), rest, f"{PROG} {name}")
    config = changed(config, command, name)
    # A recipe that makes its own tokenizer leaves the vocabulary to it.
    vocabulary = config.model.vocab_size or config.data.vocab_size
    if not vocabulary:
        raise Problem(f"{name}: the vocabulary depends on the texts; give its size with --model.vocab-size")
    counted = count_parameters(config.model.replace(vocab_size=vocabulary))
    needs = {"inference": counted.inference_bytes, "training": counted.training_bytes}
    value = {"recipe": name, "total": counted.total, "parts": counted.parts, "bytes": needs}

    def text() -> str:
        rows = [*counted.parts.items(), ("total", counted.total)]
        lines = [say.table((part, f"{n:,}") for part, n in rows), ""]
        return "\n".join(lines + [f"{n / 2**20:,.1f} MB for {use}" for use, n in needs.items()])

    say.result(value, command.json, text)
