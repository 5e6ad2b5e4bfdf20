"""A corpus prepared once: its texts and a list of its documents in a folder of the cache."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from mnemon.config import Problem, read_json, replacing, told, write_json
from mnemon.data.document import Corpus, Document


def cache_folder(chosen: str | None) -> Path:
    """The folder of prepared corpora: the chosen one, or `mnemon` in the user's cache folder (XDG)."""
    if chosen is not None:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnemon"


def listing(roots: Iterable[Path]) -> list[str]:
    """What says which packages stand in `roots`: the interpreter's version and the sorted names of the entries."""
    return [sys.version, *(name for root in roots for name in sorted(os.listdir(root)) if name != "__pycache__")]


def kept(cache: str | None, name: str, key: Iterable[object], prepare: Callable[[], Corpus]) -> Corpus:
    """The prepared copy of a corpus, made now where there is none for this `key` or where it is damaged."""
    digest = hashlib.blake2b("\n".join(map(str, key)).encode(), digest_size=8).hexdigest()
    folder = cache_folder(cache) / f"{name}-{digest}"
    if (folder / "documents.json").exists():
        corpus = _read(folder)
        if corpus is not None:
            return corpus
    corpus = prepare()
    _write(folder, corpus)
    return corpus


def _write(folder: Path, corpus: Corpus) -> None:
    rows = []
    data = []
    for split in ("train", "valid", "test"):
        for document in corpus.split(split):
            data.append(document.text.encode())
            rows.append([split, document.id, len(data[-1]), document.source, document.files])
    texts = b"".join(data)
    try:
        with replacing(folder / "texts.txt") as temporary, told(folder / "texts.txt"):
            temporary.write_bytes(texts)
        index = {
            "name": corpus.name,
            "fingerprint": corpus.fingerprint,
            "skipped": corpus.skipped,
            "digest": hashlib.blake2b(texts, digest_size=16).hexdigest(),
            "documents": rows,
        }
        write_json(folder / "documents.json", index)
    except Problem as problem:
        raise Problem(f"{problem}: the prepared corpus cannot be kept; choose another cache") from None


def _read(folder: Path) -> Corpus | None:
    """The corpus in `folder`, or None where it is damaged (it is then prepared again)."""
    try:
        index = read_json(folder / "documents.json")
        texts = (folder / "texts.txt").read_bytes()
        if hashlib.blake2b(texts, digest_size=16).hexdigest() != index["digest"]:
            return None
        splits: dict[str, list[Document]] = {"train": [], "valid": [], "test": []}
        at = 0
        for split, name, size, source, files in index["documents"]:
            text = texts[at : at + size].decode()
            splits[split].append(Document(name, text, source, tuple((start, path) for start, path in files)))
            at += size
        return Corpus(index["name"], **splits, skipped=index["skipped"], fingerprint=index["fingerprint"])
    except (Problem, OSError, KeyError, ValueError, TypeError):
        return None
