from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mnemon.config import Problem
from mnemon.data.archive import files_of
from mnemon.data.document import Corpus, Document, joined
from mnemon.data.named import Named
from mnemon.data.options import DataConfig
from mnemon.data.order import shuffled
from mnemon.data.splits import divided
from mnemon.data.text import decoded

NAME = "github"
# C, C++, Java, Python, Go and TypeScript, as in the paper.
SUFFIXES = frozenset([".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".java", ".py", ".go", ".ts", ".tsx"])


def read(place: Path, options: DataConfig) -> Corpus:
    """A folder of repositories, one document each: source files in C, C++, Java, Python, Go and TypeScript.

    A folder's own files stand together, then its subfolders one after the other; both in an order drawn from the seed
    (arXiv 2203.08913: files joined by a random traversal).
    """
    skipped: Counter[str] = Counter()
    return divided(NAME, _repositories(place, options, skipped), skipped, place)


def _repositories(place: Path, options: DataConfig, skipped: Counter[str]) -> Iterator[Document]:
    files = files_of(place)
    repositories: dict[str, list[str]] = defaultdict(list)
    for name in files:
        if "/" in name and PurePosixPath(name).suffix in SUFFIXES:
            repositories[name.split("/")[0]].append(name)
    if not repositories:
        raise Problem(f"{place}: no folder with source files there; give the folder that holds the repositories")
    for repository, names in repositories.items():
        texts = (
            (name, decoded(files[name](), f"{place}/{name}", options.strict, skipped))
            for name in traversed(names, options.seed)
        )
        parts = [(name, text) for name, text in texts if text]
        if parts:
            yield joined(repository, parts, str(place))


def traversed(names: list[str], seed: int, below: str = "") -> Iterator[str]:
    """Paths with the files of each folder together and each subfolder whole, in an order drawn from the seed."""
    folders: dict[str, list[str]] = defaultdict(list)
    own = []
    for name in names:
        folder, slash, _ = name.removeprefix(below).partition("/")
        if slash:
            folders[f"{below}{folder}/"].append(name)
        else:
            own.append(name)
    yield from shuffled(own, seed)
    for folder in shuffled(folders, seed):
        yield from traversed(folders[folder], seed, folder)


GITHUB = Named(
    name=NAME,
    about="repositories in C, C++, Java, Python, Go and TypeScript, one document a repository",
    licence="each repository's own; the paper took permissive ones only",
    origin="git clone of the repositories of your choice, into one folder",
    read=read,
    lines=True,
)
