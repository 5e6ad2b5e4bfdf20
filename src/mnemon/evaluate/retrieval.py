import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import nn

from mnemon.config import Problem
from mnemon.data import Document, Tokenizer
from mnemon.evaluate.identifiers import Name, names
from mnemon.evaluate.reading import Nats, Reader, Text, prepared
from mnemon.evaluate.tracing import Look, traced
from mnemon.model import Precision

TOP = 4  # heaviest remembered tokens looked at
LEAST = 4  # characters of a name
MOST = 100  # names of a group
ROWS = 8
SAMPLES = 10_000
Progress = Callable[[str, int, int], None]
View = Literal["name", "token", "first token"]


@dataclass(frozen=True)
class Returned:
    """A name that returned from beyond the window, and whether the memory was looked at where it stood before.

    `token`: the piece of it that was asked for, the one that gained most or, in the view `"first token"`, the first,
    at which the text does not tell the name yet. `gain` in nats: of the whole name in the view `"name"`, else of the
    piece asked for. `found`: one of the `TOP` heaviest entries is the same name; `random`: the chance that one of as
    many entries drawn from the memory is.
    """

    document: str
    name: str
    token: int
    view: View
    gain: float
    found: bool
    random: float


def looked_up(
    model: nn.Module,
    documents: Sequence[Document],
    tokenizer: Tokenizer,
    memory: int | None = None,
    precision: Precision = "float32",
    max_tokens: int | None = None,
    on_progress: Progress = lambda reading, done, total: None,
) -> list[Returned]:
    """Every name of four characters or more whose last occurrence lies beyond the window and still in the memory.

    An entry is the name if the token whose value it gives lies in an earlier occurrence of it; with values of their
    own (`value="own"`), also if the token behind that one does: the entry then stands where the name came next.
    """
    owner: Any = model
    knn = owner.config.pools.knn
    size = (0 if knn is None else knn.size) if memory is None else memory
    if knn is None or not size:
        raise Problem("this model has no kNN memory, or is asked to read without one")
    owner.init_state(1, size)
    texts = prepared(documents, tokenizer, max_tokens)
    training = model.training
    model.eval()
    try:
        gains = _gains(model, tokenizer, texts, size, precision, _counting(on_progress, "reading twice", texts, 2))
        count = _counting(on_progress, "looking up names", texts, 1)
        asked: list[Returned] = []
        for text, gain in zip(texts, gains, strict=True):
            spans = tokenizer.spans(text.document.text)[: len(text.ids)]
            wanted = _wanted(names(text.document.text, spans), gain, owner.config.window)
            for look in traced(model, tokenizer, text, size, precision, count):
                asked += _answers(text, look, wanted, knn.value == "next")
    finally:
        model.train(training)
    return asked


def _counting(on_progress: Progress, what: str, texts: Sequence[Text], times: int) -> Callable[[int], None]:
    total, done = times * sum(len(text.ids) for text in texts), 0

    def count(tokens: int) -> None:
        nonlocal done
        done += tokens
        on_progress(what, done, total)

    return count


def _gains(
    model: nn.Module,
    tokenizer: Tokenizer,
    texts: Sequence[Text],
    memory: int,
    precision: Precision,
    count: Callable[[int], None],
) -> list[Nats]:
    """How much lower each token's loss is with memory than without."""
    reader = Reader(model, tokenizer, ROWS, precision, count)
    return [a - b for a, b in zip(reader.own(texts, 0), reader.own(texts, memory), strict=True)]


@dataclass(frozen=True)
class _Wanted:
    name: Name
    earlier: frozenset[int]
    view: View
    gain: float


def _wanted(found: Sequence[Name], gain: Nats, window: int) -> dict[int, list[_Wanted]]:
    """By the token to look at: the names that return, with the tokens of their earlier occurrences."""
    wanted: dict[int, list[_Wanted]] = {}
    earlier: dict[str, frozenset[int]] = {}
    for name in found:
        before = earlier.get(name.text, frozenset())
        pieces = gain[name.first : name.last + 1]
        if len(name.text) >= LEAST and name.beyond(window) and np.isfinite(pieces).all():
            best = name.first + int(pieces.argmax())
            wanted.setdefault(best, []).append(_Wanted(name, before, "name", float(pieces.sum())))
            wanted.setdefault(best, []).append(_Wanted(name, before, "token", float(pieces.max())))
            wanted.setdefault(name.first, []).append(_Wanted(name, before, "first token", float(pieces[0])))
        earlier[name.text] = before | set(range(name.first, name.last + 1))
    return wanted


def _answers(text: Text, look: Look, wanted: dict[int, list[_Wanted]], next_value: bool) -> Iterator[Returned]:
    """What was found for the names asked for in a segment, as far as they are in the memory."""
    tokens = range(look.first, look.first + look.traces[0].reach.shape[2])
    if not look.stored or not any(token in wanted for token in tokens):
        return
    for token, entries in zip(tokens, look.heaviest(TOP), strict=True):
        for one in wanted.get(token, ()):
            hits = one.earlier if next_value else one.earlier | {earlier - 1 for earlier in one.earlier}
            stored = sum(hit in look.stored for hit in hits)
            if stored:
                found = any(entry.token in hits for entry in entries)
                random = 1 - _missed(len(look.stored), stored)
                yield Returned(text.document.id, one.name.text, token, one.view, one.gain, found, random)


def _missed(entries: int, hits: int) -> float:
    """The chance that `TOP` different entries drawn at random are no hits."""
    return math.comb(entries - hits, TOP) / math.comb(entries, TOP) if entries - hits >= TOP else 0.0


def by_gain(asked: Sequence[Returned], most: int = MOST) -> dict[str, list[Returned]]:
    """The names of largest gain and those of smallest, each name of a document once; and every one asked for."""
    ranked = sorted(asked, key=lambda each: -each.gain)
    half = min(most, len({(each.document, each.name) for each in asked}) // 2)
    high = _once(ranked, half, set())
    low = _once(ranked[::-1], half, {(each.document, each.name) for each in high})
    return {"high": high, "low": low, "every": list(asked)}


def _once(ranked: Sequence[Returned], most: int, taken: set[tuple[str, str]]) -> list[Returned]:
    chosen: dict[tuple[str, str], Returned] = {}
    for each in ranked:
        place = (each.document, each.name)
        if place not in taken and place not in chosen and len(chosen) < most:
            chosen[place] = each
    return list(chosen.values())


def rates(asked: Sequence[Returned], seed: int = 0) -> dict[str, Any]:
    """How often the name was found, against entries drawn at random, with 95 % bootstrap intervals over documents."""
    ids = list(dict.fromkeys(each.document for each in asked))
    if not ids:
        raise Problem("no name of four characters returns from beyond the window: give more documents, or longer ones")
    sums = np.zeros((len(ids), 3))
    for each in asked:
        sums[ids.index(each.document)] += (1, each.found, each.random)
    times = np.random.default_rng(seed).multinomial(len(ids), np.full(len(ids), 1 / len(ids)), size=SAMPLES)
    names, found, random = (times @ sums).T
    whole = sums.sum(0)
    return {
        "names": int(whole[0]),
        "documents": len(ids),
        "found": int(whole[1]),
        "rate": float(whole[1] / whole[0]),
        "interval": np.quantile(found / names, [0.025, 0.975]).tolist(),
        "random": float(whole[2] / whole[0]),
        "times_random": float(whole[1] / whole[2]),
        "times_interval": np.quantile(found / random, [0.025, 0.975]).tolist(),
        "bits_gained": float(np.mean([each.gain for each in asked])) / math.log(2),
    }
