import inspect
from dataclasses import dataclass

from mnemon.cli import say
from mnemon.cli.flags import parse
from mnemon.recipes import RECIPES


@dataclass(frozen=True, kw_only=True)
class Recipes:
    """The models that can be trained."""

    json: bool = False
    """print one JSON value"""


def run(words: list[str]) -> None:
    command = parse(Recipes, words, "mnemon recipes")
    about = {name: (inspect.getdoc(build) or "").partition("\n")[0] for name, build in RECIPES.items()}
    listed = [{"recipe": name, "about": line} for name, line in about.items()]
    say.result(listed, command.json, lambda: say.table(about.items(), left=2))
