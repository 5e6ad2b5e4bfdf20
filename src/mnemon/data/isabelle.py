import posixpath
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from mnemon.config import Problem
from mnemon.data.archive import Files, files_of
from mnemon.data.document import Corpus, Document, joined
from mnemon.data.named import Named
from mnemon.data.options import DataConfig
from mnemon.data.splits import divided
from mnemon.data.text import decoded, decoded_strictly
from mnemon.data.theories import in_order, sessions

NAME = "isabelle"


def read(place: Path, options: DataConfig) -> Corpus:
    """Sessions, one document each: its theories, every one after those that it imports.

    The folders of the sessions are those that ROOT files name; a theory of no such folder belongs to its top folder.
    What a theory imports from another session is outside the document. Where imports go in a circle the session is
    left out, where one is missing the others are kept; with `strict` either is a problem that says which.
    """
    skipped: Counter[str] = Counter()
    return divided(NAME, _documents(place, options, skipped), skipped, place)


def _documents(place: Path, options: DataConfig, skipped: Counter[str]) -> Iterator[Document]:
    files = files_of(place)
    texts = {
        name: decoded(read(), f"{place}/{name}", options.strict, skipped)
        for name, read in files.items()
        if name.endswith(".thy")
    }
    if not texts:
        raise Problem(f"{place}: no theory (.thy) there; give the folder of the sessions, such as thys of the AFP")
    folders = _folders(files, place)
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for name, text in texts.items():
        if text is not None:
            groups[_folder(name, folders)][name] = text
    for folder, theories in groups.items():
        names = folders.get(folder) or [place.resolve().stem if folder == "." else folder]
        try:
            order, missing = in_order(theories, names)
        except Problem as problem:
            if options.strict:
                raise Problem(f"{place}: session {names[0]}: {problem}") from None
            skipped["session with circular imports"] += 1
            continue
        if missing and options.strict:
            raise Problem(f"{place}: session {names[0]}: {missing[0]}, which is not there")
        skipped["import not found"] += len(missing)
        yield joined(names[0], ((name, theories[name]) for name in order), str(place))


def _folders(files: Files, place: Path) -> dict[str, list[str]]:
    """The folders of the sessions that the ROOT files tell of, and the names of the sessions in each."""
    found: dict[str, list[str]] = defaultdict(list)
    for path, read in files.items():
        if posixpath.basename(path) == "ROOT":
            for name, folder in sessions(decoded_strictly(read(), f"{place}/{path}")):
                found[posixpath.normpath(posixpath.join(posixpath.dirname(path), folder))].append(name)
    return found


def _folder(theory: str, folders: Collection[str]) -> str:
    """The nearest folder of a session above a theory, else its top folder."""
    above = posixpath.dirname(theory)
    while above and above not in folders:
        above = posixpath.dirname(above)
    top = theory.split("/")[0] if "/" in theory else "."
    return above or ("." if "." in folders else top)


ISABELLE = Named(
    name=NAME,
    about="formal proofs: the theories of a session in the order of their imports, one document a session",
    licence="BSD-3-Clause or LGPL, each entry of the AFP its own; Isabelle BSD-3-Clause",
    origin="https://www.isa-afp.org/download (thys) and src/HOL of https://isabelle.in.tum.de",
    read=read,
)
