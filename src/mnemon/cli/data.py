from dataclasses import dataclass
from typing import Any

from tyro.conf import Positional

from mnemon.cli import say
from mnemon.cli.flags import first_word, parse
from mnemon.config import Problem, nearest
from mnemon.data import NAMED, DataConfig, check_source

PROG = "mnemon data"


@dataclass(frozen=True, kw_only=True)
class What:
    """Known data sets. `mnemon data list` tells them; `mnemon data check NAME:PATH` holds a copy against the whole."""

    json: bool = False
    """print one JSON value"""


@dataclass(frozen=True, kw_only=True)
class ListAll:
    """What each known data set is, its licence, and where a copy comes from."""

    json: bool = False
    """print one JSON value"""


@dataclass(frozen=True, kw_only=True)
class CheckCopy:
    """What a copy of a data set, or any other source, holds, and what it lacks; exit status 2 if it lacks anything."""

    source: Positional[str]
    """NAME:PATH, or any other source of texts"""
    document: str = "file"
    """what one document of a folder is: file or folder"""
    tokenizer_file: str | None = None
    """a tokenizer.json that counts the tokens of c4-4k"""
    max_documents: int | None = None
    """read at most so many documents a split"""
    strict: bool = False
    """a file that is no UTF-8 text, or a session with broken imports, is an error, not skipped"""
    download: bool = False
    """fetch the data set, named without a path"""
    json: bool = False
    """print one JSON value"""


def run(words: list[str]) -> None:
    name, rest = first_word(words, What, f"{PROG} WHAT")
    commands = {"list": _list, "check": _check}
    if name not in commands:
        raise Problem(f"{name!r}: no such command{nearest(name, list(commands))}")
    commands[name](rest)


def _list(words: list[str]) -> None:
    command = parse(ListAll, words, f"{PROG} list")
    listed = [
        {"name": name, "about": each.about, "licence": each.licence, "origin": each.origin, "fetched": bool(each.fetch)}
        for name, each in NAMED.items()
    ]
    say.result(listed, command.json, lambda: "\n".join(map(_paragraph, listed)))


def _paragraph(each: dict[str, Any]) -> str:
    fetched = " (or --download)" if each["fetched"] else ""
    return f"{each['name']}\n  {each['about']}\n  {each['licence']}\n  {each['origin']}{fetched}"


def _check(words: list[str]) -> None:
    command = parse(CheckCopy, words, f"{PROG} check")
    given = {name: value for name, value in vars(command).items() if name in DataConfig.model_fields}
    corpus, checks = check_source(command.source, DataConfig.parse(given, "flags"))
    splits = {
        split: {
            "documents": len(corpus.split(split)),
            "bytes": sum(len(document.text.encode("utf-8")) for document in corpus.split(split)),
        }
        for split in ("train", "valid", "test")
    }
    value = {
        "name": corpus.name,
        "complete": all(check.ok for check in checks),
        "splits": splits,
        "checks": [{**vars(check), "ok": check.ok} for check in checks],
        "skipped": corpus.skipped,
        "fingerprint": corpus.fingerprint,
    }
    say.result(value, command.json, lambda: _text(value, [str(check) for check in checks]))
    if not value["complete"]:
        wrong = ", ".join(str(check) for check in checks if not check.ok)
        known = NAMED[command.source.partition(":")[0]]
        raise Problem(f"{command.source}: not the whole ({wrong}); complete it from {known.origin}, or use --partial")


def _text(value: dict[str, Any], checks: list[str]) -> str:
    rows = [(split, f"{each['documents']:,}", f"{each['bytes']:,}") for split, each in value["splits"].items()]
    lines = [say.table([(value["name"], "documents", "bytes"), *rows])]
    said = [f"{'ok' if check['ok'] else 'no':<4}{text}" for check, text in zip(value["checks"], checks, strict=True)]
    return "\n".join([*lines, "", *(said or ["nothing is known to check"])]) + say.skipped(value["skipped"])
