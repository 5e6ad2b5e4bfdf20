"""The corpus everyone has: the Python source beside the running interpreter, whole packages held out."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from mnemon.config import Problem
from mnemon.data.document import Corpus, Document, fingerprint, joined
from mnemon.data.env_files import LARGEST, File, python_files, search_path
from mnemon.data.near import straddling
from mnemon.data.options import DataConfig
from mnemon.data.order import draw, shuffled, split_of
from mnemon.data.prepared import kept, listing

NAME = "python-env"
FORMAT = 1
# Chosen among such names so that both held-out splits have 24 long documents or more, of many packages, in an
# environment of our dependencies alone and in one with the development tools beside them.
SALT = "mnemon-365"
SMALL = 32 * 1024
SHORT = 2 * 1024
# No package may fill more than an eighth of the corpus: torch and sympy alone would be half of it.
PACKAGE_SHARE = 8


def load_python_env(path: str, options: DataConfig) -> Corpus:
    """Python source of the standard library and the installed packages, one document a package or sub-package.

    Each file follows a comment line with its path; the order of files inside a document is drawn from the seed. The
    split is a hash of the top-level package's name: about 80 / 10 / 10. Left out: tests, vendored code, generated
    tables, mnemon itself, exact duplicates, and files that have a near duplicate in another split. The corpus is
    prepared once and kept in the cache folder; a change of the installed packages prepares a new one.
    """
    if path:
        raise Problem(f"{NAME} is the running environment and takes no path, got {path!r}; a folder is read as itself")
    roots = search_path()
    key = (FORMAT, SALT, *listing(roots), options.seed, options.max_bytes)
    return kept(options.cache, NAME, key, lambda: prepare(roots, options.seed, options.max_bytes))


def side(package: str) -> str:
    """The split of a top-level package, from its name alone."""
    return split_of(draw(SALT, package))


def prepare(roots: list[Path], seed: int, max_bytes: int) -> Corpus:
    """The corpus of the Python files below `roots`, which come first to last as on the search path."""
    skipped: Counter[str] = Counter()
    files = _once(python_files(roots, skipped), skipped)
    chosen = _capped(_grouped(files), max_bytes, skipped)
    members = [(name, file) for name, group in chosen.items() for file in group]
    sides = [side(file.package) for _, file in members]
    left: dict[str, list[File]] = defaultdict(list)
    for (name, file), out in zip(members, straddling([file.text for _, file in members], sides), strict=True):
        skipped["near duplicate in another split"] += out
        if not out:
            left[name].append(file)
    splits: dict[str, list[Document]] = {"train": [], "valid": [], "test": []}
    for name, group in sorted(left.items()):
        if sum(len(file.text) for file in group) < SHORT:
            skipped["document shorter than 2 KB"] += 1
            continue
        ordered = shuffled(group, seed, key=lambda file: file.path)
        document = joined(name, ((file.path, file.text) for file in ordered), NAME)
        splits[side(group[0].package)].append(document)
    return Corpus(NAME, **splits, skipped=dict(sorted(skipped.items())), fingerprint=fingerprint(splits.values()))


def _once(files: Iterable[File], skipped: Counter[str]) -> list[File]:
    """The files without exact copies of an earlier one."""
    first: dict[str, File] = {}
    for file in files:
        if file.text in first:
            skipped["exact duplicate"] += 1
        first.setdefault(file.text, file)
    return list(first.values())


def _grouped(files: list[File]) -> dict[str, list[File]]:
    """Files by document: a folder with its own files; a sub-package of less than 32 KB belongs to its parent."""
    groups: dict[str, list[File]] = defaultdict(list)
    for file in files:
        folder = file.path.rpartition("/")[0] or file.package
        groups[folder.replace("/", ".")].append(file)
    for name in sorted(groups, key=lambda name: -name.count(".")):
        if "." in name and sum(len(file.text) for file in groups[name]) < SMALL:
            groups[name.rpartition(".")[0]] += groups.pop(name)
    return {part: group for name in sorted(groups) for part, group in _parts(name, groups[name])}


def _parts(name: str, files: list[File]) -> list[tuple[str, list[File]]]:
    """A package of more than 512 KB becomes several documents: `name`, `name#2`, ..."""
    parts: list[list[File]] = [[]]
    size = 0
    for file in shuffled(files, SALT, key=lambda file: file.path):
        needed = len(file.text.encode()) + len(file.path) + 4
        if parts[-1] and size + needed > LARGEST:
            parts.append([])
            size = 0
        parts[-1].append(file)
        size += needed
    return [(name if k == 0 else f"{name}#{k + 1}", part) for k, part in enumerate(parts)]


def _capped(groups: dict[str, list[File]], max_bytes: int, skipped: Counter[str]) -> dict[str, list[File]]:
    """Documents in hash order while they fit into the corpus and into their package's share of it."""
    chosen: dict[str, list[File]] = {}
    of_package: Counter[str] = Counter()
    for name in shuffled(groups, SALT, "document"):
        package = groups[name][0].package
        size = sum(len(file.text.encode()) + len(file.path) + 4 for file in groups[name])
        if of_package[package] + size > max_bytes // PACKAGE_SHARE:
            skipped["document beyond its package's share"] += 1
        elif of_package.total() + size > max_bytes:
            skipped["document beyond the corpus's size"] += 1
        else:
            of_package[package] += size
            chosen[name] = groups[name]
    return chosen
