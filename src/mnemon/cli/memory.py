from dataclasses import dataclass
from typing import Any

from tyro.conf import Positional

from mnemon import memory
from mnemon.cli import say
from mnemon.cli.flags import first_word, parse
from mnemon.config import Problem, nearest

PROG = "mnemon memory"


@dataclass(frozen=True, kw_only=True)
class What:
    """What a model was told to remember, as a file: `mnemon memory ls|show|forget|merge|check FILE`."""

    json: bool = False
    """print one JSON value"""


@dataclass(frozen=True, kw_only=True)
class List:
    """Whose memory it is, how it is stored, and its documents in the order they were read."""

    file: Positional[str]
    """a folder that a memory was saved to"""
    json: bool = False
    """print one JSON value"""


@dataclass(frozen=True, kw_only=True)
class Show:
    """What is known of a document, and how its text begins."""

    file: Positional[str]
    """a folder that a memory was saved to"""
    name: Positional[str]
    """a document"""
    namespace: str | None = None
    """that of the document, where several have one of that name"""
    characters: int = 400
    """of the text, at most so many"""
    json: bool = False
    """print one JSON value"""


@dataclass(frozen=True, kw_only=True)
class Forget:
    """Take a document out of the memory, and its bytes off the disk."""

    file: Positional[str]
    """a folder that a memory was saved to"""
    name: Positional[str]
    """a document"""
    namespace: str | None = None
    """that of the document, where several have one of that name"""
    json: bool = False
    """print one JSON value"""


@dataclass(frozen=True, kw_only=True)
class Merge:
    """A new memory of the documents of several, which must be the same model's."""

    out: Positional[str]
    """the new memory"""
    files: Positional[tuple[str, ...]]
    """folders that memories were saved to"""
    rename: bool = False
    """of different documents with one name the later ones are called NAME-2, NAME-3, ..."""
    json: bool = False
    """print one JSON value"""


@dataclass(frozen=True, kw_only=True)
class Check:
    """Read everything and hold it against digests, shapes and spans; exit status 2 if anything is wrong."""

    file: Positional[str]
    """a folder that a memory was saved to"""
    json: bool = False
    """print one JSON value"""


def run(words: list[str]) -> None:
    name, rest = first_word(words, What, f"{PROG} WHAT")
    commands = {"ls": _ls, "show": _show, "forget": _forget, "merge": _merge, "check": _check}
    if name not in commands:
        raise Problem(f"{name!r}: no such command{nearest(name, list(commands))}")
    commands[name](rest)


def _ls(words: list[str]) -> None:
    command = parse(List, words, f"{PROG} ls")
    _say_contents(memory.read_contents(command.file), command.json)


def _say_contents(contents: memory.Contents, as_json: bool) -> None:
    value = {**contents.model_dump(mode="json"), "bytes": contents.bytes, "recall": contents.recall}

    def text() -> str:
        its = contents.fingerprint
        lines = [
            f"model {its.model}, tokenizer {its.tokenizer}",
            f"layers {', '.join(map(str, its.layers))}; {its.heads} heads of {its.dim}; "
            f"positions {its.positions}, values {its.value}",
            f"{contents.precision} of {its.dtype}; {recalled(contents.recall)}",
        ]
        rows: list[tuple[object, ...]] = [("document", "namespace", "read", "entries", "bytes", "precision")]
        for each in contents.documents:
            size = f"{each.entries:,}", f"{each.bytes:,}"
            rows.append((each.name, each.namespace or "-", each.time, *size, each.precision))
        entries = sum(each.entries for each in contents.documents)
        rows.append((f"{len(contents.documents)} in all", "", "", f"{entries:,}", f"{contents.bytes:,}", ""))
        return "\n".join([*lines, "", say.table(rows, left=3)])

    say.result(value, as_json, text)


def recalled(recall: dict[int, float]) -> str:
    if not recall:
        return "nothing to find yet"
    return "recall@32 " + ", ".join(f"{share:.4f} in layer {layer}" for layer, share in sorted(recall.items()))


def _show(words: list[str]) -> None:
    command = parse(Show, words, f"{PROG} show")
    entry, document = memory.show(command.file, command.name, command.namespace)
    text = document.text
    begin = text[: command.characters]
    value: dict[str, Any] = {**entry.model_dump(mode="json"), "characters": len(text), "text": begin}

    def said() -> str:
        facts = [(name, value[name]) for name in ("name", "namespace", "source", "time", "precision", "file")]
        counts = [(name, f"{value[name]:,}") for name in ("entries", "bytes", "characters")]
        more = "" if len(begin) == len(text) else " ..."
        return "\n".join([say.table([*facts, *counts], left=2), recalled(entry.recall), "", begin + more])

    say.result(value, command.json, said)


def _forget(words: list[str]) -> None:
    command = parse(Forget, words, f"{PROG} forget")
    gone = memory.forget(command.file, command.name, command.namespace)
    said = f"{command.file}: forgot {gone.document}: {gone.entries:,} entries, {gone.bytes:,} bytes"
    say.result({"document": command.name, "entries": gone.entries, "bytes": gone.bytes}, command.json, lambda: said)


def _merge(words: list[str]) -> None:
    command = parse(Merge, words, f"{PROG} merge")
    _say_contents(memory.merge(command.out, command.files, command.rename), command.json)


def _check(words: list[str]) -> None:
    command = parse(Check, words, f"{PROG} check")
    contents, findings = memory.read_contents(command.file), memory.check(command.file)
    value = {
        "documents": len(contents.documents),
        "bytes": contents.bytes,
        "findings": [vars(each) for each in findings],
    }
    said = [f"{each.file}: {each.document or 'no document'}: {each.what}" for each in findings]
    whole = f"{command.file}: whole: {len(contents.documents):,} documents, {contents.bytes:,} bytes"
    say.result(value, command.json, lambda: "\n".join(said or [whole]))
    if findings:
        raise Problem(f"{command.file}: {len(findings)} wrong, the first: {said[0]}")
