import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mnemon.config import Problem, nearest
from mnemon.data.document import Corpus, Document
from mnemon.data.options import DataConfig
from mnemon.data.source import ready_splits
from mnemon.data.splits import corpus_of, distinct, divided
from mnemon.data.text import decoded, read_bytes, unpacked_name


def load_jsonl(path: str, options: DataConfig) -> Corpus:
    """JSON Lines, plain or packed: one document a line, with `text` and perhaps `id` and `source`.

    A folder with `train`, `valid` and `test` files (`.jsonl`, perhaps packed) has these splits. A single file is split
    by a hash of the documents' ids, which are `name:line` where none are given.
    """
    skipped: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    ready = ready_splits(Path(path), ".jsonl") if Path(path).is_dir() else {}
    if not ready:
        file = Path(path)
        name = unpacked_name(file).removesuffix(".jsonl")
        return divided(name, _documents(file, options.strict, skipped, seen), skipped, path)
    splits: dict[str, list[Document]] = {"train": [], "valid": [], "test": []}
    for split, file in ready.items():
        splits[split] = list(distinct(_documents(file, options.strict, skipped, seen), skipped))
    return corpus_of(Path(path).resolve().name, splits, skipped, path)


def _documents(file: Path, strict: bool, skipped: Counter[str], seen: Counter[str]) -> Iterator[Document]:
    """The documents of one file; an id seen before, in any file of the corpus, is told apart by `#2` and so on."""
    name = unpacked_name(file)
    for number, line in enumerate(read_bytes(file).split(b"\n"), start=1):
        where = f"{file}: line {number}"
        text = decoded(line, where, strict, skipped) if line.strip() else None
        if text is None:
            continue
        row = _row(text, where)
        if any("\ud800" <= character <= "\udfff" for character in row["text"]):
            if strict:
                raise Problem(f"{where}: 'text' holds half of a surrogate pair, which is not Unicode text")
            skipped["not UTF-8"] += 1
            continue
        given = row.get("id")
        chosen = f"{name}:{number}" if given is None else str(given)
        seen[chosen] += 1
        if seen[chosen] > 1:
            chosen = f"{chosen}#{seen[chosen]}"
        source = row.get("source")
        yield Document(chosen, row["text"], None if source is None else str(source), ((0, chosen),))


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise Problem(f"{where}: not JSON ({error.msg}, column {error.colno}); one JSON object a line") from None
    if not isinstance(row, dict):
        raise Problem(f"{where}: {type(row).__name__} instead of an object with 'text'")
    if not isinstance(row.get("text"), str):
        said = nearest("text", list(row)) if "text" not in row and row else ""
        raise Problem(f"{where}: no string under 'text'{said}")
    return row
