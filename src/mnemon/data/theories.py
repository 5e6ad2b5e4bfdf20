"""The theories of an Isabelle session in the order of their imports."""

import posixpath
import re
from collections.abc import Collection, Mapping

from mnemon.config import Problem

# Theories that every session may import without the name of theirs.
GLOBAL = {"Pure", "Main", "Complex_Main", "HOL", "HOLCF", "IFOL", "FOL", "ZF", "ZFC", "CTT", "LCF", "Sequents"}
MARK = re.compile(r"\(\*|\*\)")
HEADER = re.compile(
    r'\btheory\s+("[^"]*"|\S+)\s+(?:imports\b(?P<imports>.*?))?(?=\b(?:keywords|abbrevs|begin)\b)', re.DOTALL
)
SESSION = re.compile(r'\bsession\s+"?(?P<name>[\w+.-]+)"?[^=]*?(?:\bin\s+"?(?P<folder>[^\s"=]+)"?\s*)?=')
NAME = re.compile(r'"([^"]*)"|(\S+)')


def in_order(theories: Mapping[str, str], names: Collection[str]) -> tuple[list[str], list[str]]:
    """Paths of a session's theories, each after those that it imports; and the imports that are missing.

    Otherwise paths come as they are sorted, and imports as they are listed. `names` are those of the session. An import
    is missing that no other session can have. A `Problem` where imports go in a circle.
    """
    missing: list[str] = []
    needs = {path: _needs(path, text, theories, names, missing) for path, text in sorted(theories.items())}
    order: list[str] = []
    done: set[str] = set()
    for first in needs:
        # Depth first without recursion: chains of imports are as long as a session.
        open_: dict[str, list[str]] = {} if first in done else {first: list(needs[first])}
        while open_:
            path, left = next(reversed(open_.items()))
            if not left:
                open_.pop(path)
                done.add(path)
                order.append(path)
            elif (following := left.pop(0)) in open_:
                circle = [*list(open_)[list(open_).index(following) :], following]
                raise Problem(f"imports go in a circle: {' -> '.join(circle)}")
            elif following not in done:
                open_[following] = list(needs[following])
    return order, missing


def sessions(text: str) -> list[tuple[str, str]]:
    """Name and folder of each session in a ROOT file."""
    return [(found["name"], found["folder"] or ".") for found in SESSION.finditer(_without_comments(text))]


def imports(text: str) -> list[str]:
    """The names in the header of a theory, in their order."""
    header = HEADER.search(_without_comments(text))
    return [quoted or plain for quoted, plain in NAME.findall(header["imports"] or "")] if header else []


def _needs(path: str, text: str, theories: Mapping[str, str], names: Collection[str], missing: list[str]) -> list[str]:
    """Paths of the imported theories that belong to the session."""
    found = []
    for name in imports(text):
        inside = _path(name, path, theories, names)
        owner, dot, _ = name.rpartition(".")
        if inside is not None:
            found.append(inside)
        elif "/" not in name and (owner in names if dot else name not in GLOBAL):
            missing.append(f"{path} imports {name}")
    return found


def _path(name: str, importer: str, theories: Mapping[str, str], names: Collection[str]) -> str | None:
    """The theory that a name means: a path from the importing file, or a name, perhaps after that of the session."""
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(importer), f"{name}.thy"))
    if beside in theories:
        return beside
    owner, dot, plain = name.rpartition(".")
    if "/" in name or (dot and owner not in names):
        return None
    return next((path for path in sorted(theories) if posixpath.basename(path) == f"{plain}.thy"), None)


def _without_comments(text: str) -> str:
    """The text without its comments, which nest."""
    kept, depth, at = [], 0, 0
    for mark in MARK.finditer(text):
        if depth == 0:
            kept.append(text[at : mark.start()])
        depth = depth + 1 if mark[0] == "(*" else max(depth - 1, 0)
        at = mark.end()
    return "".join([*kept, text[at:] if depth == 0 else ""])
