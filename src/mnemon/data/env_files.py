"""Which Python files of an environment are worth reading, and in what form."""

import os
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mnemon.data.text import decoded

LARGEST = 512 * 1024
LEFT_OUT = {"__pycache__", "site-packages", "dist-packages", "mnemon", "third_party", "extern"}
TABLES = {"encodings", "pydoc_data"}
TEST = re.compile(r"(^|_)(tests?|testing)(\.py)?$|^idle_test$|^test_.*\.py$|^conftest\.py$")
GENERATED = re.compile(
    r"(?i)do not (edit|modify)|(auto-?matically|auto-?)[ -]?generated|(file|code|module|table)s? (is|was|are|were) "
    r"generated|^\W*generated (by|from|with)|@generated",
    re.MULTILINE,
)


@dataclass(frozen=True)
class File:
    """A Python file: its path below the folder on the search path, and its text."""

    path: str
    text: str

    @property
    def package(self) -> str:
        """The top-level package or module."""
        return self.path.split("/")[0].removesuffix(".py")


def search_path() -> list[Path]:
    """The folders of the standard library and of the installed packages of the running interpreter."""
    paths = sysconfig.get_paths()
    roots = dict.fromkeys(Path(paths[name]) for name in ("stdlib", "purelib", "platlib"))
    return [root for root in roots if root.is_dir()]


def looks_generated(text: str) -> bool:
    """Whether a file says that a program wrote it, or is mostly a table of literals or very long lines."""
    if GENERATED.search(text[:1000]):
        return True
    lines = [line.lstrip() for line in text.split("\n")]
    lines = [line for line in lines if line]
    if len(text) < 4096 or not lines:
        return False
    literals = sum(line[0] in "'\"0123456789([{-\\" for line in lines)
    return literals > 0.6 * len(lines) or len(text) > 200 * len(lines)


def python_files(roots: list[Path], skipped: Counter[str]) -> Iterator[File]:
    """The hand-written Python files below `roots` in path order; what is left out is counted by reason."""
    seen: set[str] = set()
    for root in roots:
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(name for name in folders if _enters(name, skipped))
            for name in sorted(name for name in names if name.endswith(".py")):
                path = Path(folder, name)
                inside = path.relative_to(root).as_posix()
                text = _text(path, skipped) if inside not in seen else None
                seen.add(inside)
                if text is not None:
                    yield File(inside, text)


def _enters(folder: str, skipped: Counter[str]) -> bool:
    for reason, left_out in (
        ("folder of tables", folder in TABLES),
        ("folder of vendored code", "vendor" in folder),
        ("folder of tests", TEST.search(folder)),
    ):
        if left_out:
            skipped[reason] += 1
            return False
    return folder not in LEFT_OUT and folder.isidentifier()


def _text(path: Path, skipped: Counter[str]) -> str | None:
    if TEST.search(path.name):
        skipped["test"] += 1
        return None
    if path.stat().st_size > LARGEST:
        skipped["longer than a document"] += 1
        return None
    text = decoded(path.read_bytes(), path, strict=False, skipped=skipped)
    if text is None or not text.strip():
        return None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if looks_generated(text):
        skipped["generated"] += 1
        return None
    return text
