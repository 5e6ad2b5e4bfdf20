import glob
import os
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from mnemon.config import Problem
from mnemon.data.document import Corpus, Document, joined
from mnemon.data.options import DataConfig
from mnemon.data.splits import divided
from mnemon.data.text import read_text

MAGIC = frozenset("*?[")


def load_folder(path: str, options: DataConfig) -> Corpus:
    """The text files below a folder or of a glob: one document a file, or one a top folder.

    A document of a folder joins its files in the order of their paths, each after a comment line with its path; a file
    that stands in no folder is a document of its own. Hidden files are left out. Packed files (.gz, .xz, .zst) are
    unpacked.
    """
    base, files = _globbed(path) if MAGIC.intersection(path) else _below(Path(path))
    if not files:
        raise Problem(f"{path}: no files there; name a folder or a glob of text files")
    skipped: Counter[str] = Counter()
    texts = ((file.relative_to(base).as_posix(), text) for file, text in _texts(files, options.strict, skipped))
    documents = _by_folder(texts, path) if options.document == "folder" else _by_file(texts, path)
    return divided(base.resolve().name or path, documents, skipped, path)


def _below(folder: Path) -> tuple[Path, list[Path]]:
    files: list[Path] = []
    for inside, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(inside, name) for name in names if not name.startswith(".")]
    return folder, sorted(files)


def _globbed(pattern: str) -> tuple[Path, list[Path]]:
    """The files of a glob, and the folder that all of them stand in: what precedes the first wildcard."""
    parts = Path(pattern).parts
    fixed = next(k for k, part in enumerate(parts) if MAGIC.intersection(part))
    found = (Path(name) for name in glob.glob(pattern, recursive=True))
    return Path(*parts[:fixed]), sorted(file for file in found if file.is_file())


def _texts(files: list[Path], strict: bool, skipped: Counter[str]) -> Iterator[tuple[Path, str]]:
    for file in files:
        text = read_text(file, strict, skipped)
        if text is not None:
            yield file, text


def _by_file(texts: Iterator[tuple[str, str]], source: str) -> Iterator[Document]:
    for name, text in texts:
        yield Document(name, text, source, ((0, name),))


def _by_folder(texts: Iterator[tuple[str, str]], source: str) -> Iterator[Document]:
    for top, group in groupby(texts, key=lambda file: file[0].split("/")[0]):
        files = list(group)
        alone = files[0][0] == top
        yield Document(top, files[0][1], source, ((0, top),)) if alone else joined(top, files, source)
