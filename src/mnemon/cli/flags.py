import contextlib
import io
import itertools
import re
from dataclasses import asdict, field, fields, is_dataclass, make_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin

import tyro
from pydantic import BaseModel

from mnemon.config import Config, Problem, nearest

Command = TypeVar("Command")
Tree = TypeVar("Tree", bound=Config)
SECTION = "_section"


def parse(command: type[Command], words: list[str], prog: str) -> Command:
    """The dataclass `command` filled from `words` by tyro; a `Problem` of one line for a word that does not fit."""
    known = ["--help", *_names(command)]
    for word in words:
        flag = word.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known:
            raise Problem(f"{flag}: unknown flag{nearest(flag, known)}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            filled, rest = tyro.cli(
                command, args=words, prog=prog, config=(tyro.conf.FlagCreatePairsOff,), return_unknown_args=True
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise Problem(f"{_unboxed(said.getvalue())}; see {prog} --help") from None
    if rest:
        raise Problem(f"{rest[0]!r}: unexpected argument; see {prog} --help")
    return filled


def first_word(words: list[str], command: type[Any], prog: str) -> tuple[str, list[str]]:
    """The word that decides which flags there are, and the others; `prog` ends with its name in capitals."""
    if words and not words[0].startswith("-"):
        return words[0], words[1:]
    if {"-h", "--help"} & set(words):
        parse(command, ["--help"], prog)
    raise Problem(f"{prog.rpartition(' ')[2]} is missing: {prog} [OPTIONS]")


def of_kinds(config: Tree, words: list[str], prefix: str = "--") -> Tree:
    """`config` with each section that comes in several kinds of the kind that `words` name, as it comes by default.

    A kind decides which other flags there are, so it is looked for before they are known.
    """
    for name, value in config:
        if not isinstance(value, Config):
            continue
        flag = prefix + name.replace("_", "-")
        kinds = _kinds(type(config).model_fields[name].annotation)
        wanted = value_of(words, f"{flag}.kind") if len(kinds) > 1 else None
        if wanted is None:
            config = config.replace(**{name: of_kinds(value, words, f"{flag}.")})
        elif wanted not in kinds:
            raise Problem(f"{flag}.kind {wanted!r}: no such kind{nearest(wanted, list(kinds))}")
        elif type(value) is not kinds[wanted]:
            config = config.replace(**{name: kinds[wanted]()})
    return config


def _kinds(annotation: Any) -> dict[str, type[Config]]:
    """The members of a union of sections by the kind that each is."""
    members = [kind for kind in get_args(annotation) if isinstance(kind, type) and issubclass(kind, Config)]
    return {kind.model_fields["kind"].default: kind for kind in members if "kind" in kind.model_fields}


def value_of(words: list[str], flag: str) -> str | None:
    """The value that `flag` has among the words."""
    for word, following in itertools.zip_longest(words, words[1:]):
        name, given, value = word.partition("=")
        if name.replace("_", "-") == flag:
            return value if given else following
    return None


def with_sections(command: type[Command], config: Config) -> type[Command]:
    """`command` with a flag `--section.field VALUE` for each value in the sections of `config`."""
    # A section may share its name with a flag (`--data SOURCE`, `--data.tokenizer`), so fields are named apart.
    mirrors = [(name, _mirror(name, value)) for name, value in config if isinstance(value, Config)]
    added = [
        (name + SECTION, Annotated[type(mirror), tyro.conf.arg(name=name)], field(default=mirror))
        for name, mirror in mirrors
    ]
    return make_dataclass(command.__name__, added, bases=(command,), frozen=True, kw_only=True)


def changed(config: Tree, filled: object, where: str) -> Tree:
    """`config` with the values that the flags of `with_sections` hold."""
    given = {name: asdict(getattr(filled, name + SECTION)) for name, part in config if isinstance(part, Config)}
    return type(config).parse(_merged(config, given), where)


def _mirror(name: str, config: Config) -> Any:
    """The values of `config` as a dataclass that tyro can fill; validation stays with `config`."""
    parts: list[tuple[str, Any, Any]] = []
    for key, value in config:
        about = type(config).model_fields[key]
        if isinstance(value, Config):
            inner = _mirror(key, value)
            parts.append((key, type(inner), field(default=inner)))
        elif not _is_section(about.annotation):
            kind: Any = about.annotation
            parts.append((key, Annotated[kind, tyro.conf.arg(help=about.description)], field(default=value)))
    return tyro.conf.configure(tyro.conf.FlagConversionOff)(make_dataclass(name, parts, frozen=True))()


def _is_section(annotation: Any) -> bool:
    """Whether a value of this type may be a `Config`: a section that this recipe leaves out has no flags."""
    kinds = (annotation, *get_args(annotation))
    return any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds)


def _merged(config: Config, given: dict[str, Any]) -> dict[str, Any]:
    values = dict(config)
    for key, value in given.items():
        inner = values[key]
        values[key] = _merged(inner, value) if isinstance(inner, Config) else value
    return values


def _names(command: Any, prefix: str = "--") -> list[str]:
    """All flags of a dataclass in the spelling that tyro gives them."""
    names = []
    for part in fields(command):
        name = prefix + part.name.removesuffix(SECTION).replace("_", "-")
        if is_dataclass(part.default):
            names += _names(part.default, f"{name}.")
        elif not (get_origin(part.type) is Annotated and tyro.conf.Positional in get_args(part.type)):
            names.append(name)
    return names


def _unboxed(said: str) -> str:
    """What tyro's box says above its first rule, on one line; a terminal gets colours, a pipe perhaps ASCII."""
    _, *lines = (line.strip("│ ") for line in re.sub(r"\x1b\[[0-9;]*m", "", said).splitlines())
    blocks = itertools.groupby(lines, key=lambda line: bool(line.strip("─-")))
    message = next(" ".join(block) for filled, block in blocks if filled)
    return " ".join(message.split()).removeprefix("Error parsing ").rstrip(".")
