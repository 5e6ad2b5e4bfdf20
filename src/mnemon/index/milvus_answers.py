"""Entries as they are sent to a Milvus and come back from it."""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Entries:
    """Entries of a row and head: which of their row's they are, stream positions, keys and values."""

    entry: np.ndarray
    pos: np.ndarray
    keys: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Found:
    """What a query found, best first: stream positions, keys, values and scores."""

    pos: np.ndarray
    keys: np.ndarray
    values: np.ndarray
    scores: np.ndarray


def text_length(dim: int) -> int:
    """Characters of a value of so many numbers."""
    return 4 * -(-4 * dim // 3)


def value_text(value: np.ndarray) -> str:
    """A value as Milvus keeps it: of a list of numbers the client would make an object each, at every hit."""
    return b64encode(value.astype("<f4", copy=False).tobytes()).decode()


def entries_of(hits: Sequence[Any], dim: int) -> Entries:
    """What a query of the collection gave."""
    entry, pos = (np.array([hit[name] for hit in hits], dtype=np.int64) for name in ("entry", "pos"))
    keys = np.array([hit["k"] for hit in hits], dtype=np.float32).reshape(-1, dim)
    return Entries(entry, pos, keys, _values((hit["v"] for hit in hits), dim))


def found_of(answers: Any, dim: int) -> list[Found]:
    """What each query of a search found.

    Keys are taken from the message, all at once: asked for one by one, the client makes a list of numbers of each, and
    that takes longer than everything else that is done here.
    """
    keys = np.zeros((0, dim), dtype=np.float32)
    for hits in answers:
        for field in hits.lazy_field_data if len(hits) and not len(keys) else ():
            keys = np.array(field.vectors.float_vector.data, dtype=np.float32).reshape(-1, dim)
    found, behind = [], 0
    for hits in answers:
        each = [hits.get_raw_item(at)["entity"] for at in range(len(hits))]
        first, behind = behind, behind + len(each)
        pos = np.array([one["pos"] for one in each], dtype=np.int64)
        scores = np.array(hits.distances, dtype=np.float32)
        found.append(Found(pos, keys[first:behind], _values((one["v"] for one in each), dim), scores))
    return found


def joined(pages: Iterable[Entries], dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Entry numbers, positions, keys and values of all pages, in the order of the entries."""
    none, nothing = np.zeros(0, dtype=np.int64), np.zeros((0, dim), dtype=np.float32)
    parts = [(none, none, nothing, nothing), *((page.entry, page.pos, page.keys, page.values) for page in pages)]
    entry, pos, keys, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = entry.argsort()
    return entry[order], pos[order], keys[order], values[order]


def _values(texts: Iterable[str], dim: int) -> np.ndarray:
    return np.frombuffer(b"".join(map(b64decode, texts)), dtype="<f4").reshape(-1, dim)
