import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int64
from torch import Tensor, nn

from mnemon.config import Problem
from mnemon.data import Document, Tokenizer
from mnemon.evaluate.gains import TIMES, gains, rarity
from mnemon.evaluate.heads import Head, heads
from mnemon.evaluate.identifiers import KINDS, kinds, names
from mnemon.evaluate.reading import Nats, Reader, Text, prepared
from mnemon.evaluate.tracing import Found, Look, traced
from mnemon.model import Precision

FORMAT = 1
TOKENS = 12_288
NEIGHBOURS = 8  # kept a token
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Inspection:
    """What a model made of every token of a document, and what it remembered for it.

    `nats`: losses of the tokens by reading: `memory` (with what the text itself filled), `none` (without), `shuffled`
    (its own values under wrong keys), `other` (with the memory of the document `other`, to which nothing is added); a
    model without kNN memory has `none` alone. NaN where nothing was predicted. `kinds`: of each token, into `KINDS`.
    `found`: the heaviest remembered tokens over all heads. Every token sees the `window` tokens before it; the memory
    is filled in units of `segment`, so that it holds nothing for the first one. `top_k` and `value`: as in `KNNConfig`,
    0 and "" where there is no memory.
    """

    document: Document
    other: str | None
    memory: int
    window: int
    segment: int
    top_k: int
    value: str
    nats: Mapping[str, Nats] = field(repr=False)
    spans: Int64[np.ndarray, "n 2"] = field(repr=False)
    kinds: Int64[np.ndarray, " n"] = field(repr=False)
    found: Sequence[Sequence[Found]] = field(repr=False)
    heads: Sequence[Head] = field(repr=False)

    @property
    def text(self) -> str:
        """What was read: the document, as far as its last token."""
        return self.document.text[: int(self.spans[:, 1].max())]

    def gain(self, against: str = "none") -> Nats:
        """How much lower each token's loss is with memory than in another reading, in nats."""
        return np.asarray(self.nats[against] - self.nats["memory"], np.float32)

    def as_json(self) -> dict[str, Any]:
        """Everything, with tokens in columns; `found` has [token, index into heads, weight, distance] for each."""
        place = {(each.layer, each.head): index for index, each in enumerate(self.heads)}
        starts = [self._shown(token) for token in range(len(self.spans))]
        places = [self.document.locate(start) for start in starts]
        files = list(dict.fromkeys(where.file for where in places))
        return {
            "format": FORMAT,
            "document": self.document.id,
            "other": self.other,
            "memory": self.memory,
            "window": self.window,
            "segment": self.segment,
            "top_k": self.top_k,
            "value": self.value,
            "text": self.text,
            "files": files,
            "tokens": {
                "start": self.spans[:, 0].tolist(),
                "end": self.spans[:, 1].tolist(),
                "file": [files.index(where.file) for where in places],
                "line": [where.line for where in places],
                "kind": self.kinds.tolist(),
                "nats": {name: [_rounded(x) for x in each.tolist()] for name, each in self.nats.items()},
                "found": [
                    [[it.token, place[it.layer, it.head], _rounded(it.weight), _rounded(it.distance)] for it in each]
                    for each in self.found
                ],
            },
            "kinds": list(KINDS),
            "nats_per_token": {name: float(np.nanmean(each)) for name, each in self.nats.items()},
            "gains": self._gains() if self.memory else {},
            "heads": [{**dataclasses.asdict(each), "ages": each.ages and list(each.ages)} for each in self.heads],
        }

    def _gains(self) -> dict[str, Any]:
        """What memory gains by kind of token, and for names by how often they had occurred."""
        times = rarity(names(self.text, self.spans), len(self.spans))
        return {
            "all": gains(("all tokens",), np.zeros_like(times), self.nats, self.segment),
            "by_kind": gains(KINDS, self.kinds, self.nats, self.segment),
            "by_rarity": gains(TIMES, times, self.nats, self.segment),
        }

    def _shown(self, token: int) -> int:
        """The character at which a token's line is taken: its first one that is no white space."""
        start, end = (int(edge) for edge in self.spans[token])
        word = self.document.text[start:end]
        return start + len(word) - len(word.lstrip()) if word.strip() else start


def inspect(
    model: nn.Module,
    document: Document,
    tokenizer: Tokenizer,
    other: Document | None = None,
    memory: int | None = None,
    precision: Precision = "float32",
    max_tokens: int = TOKENS,
    on_progress: Progress = lambda reading, done, total: None,
) -> Inspection:
    """Read a document several times, from an empty memory each, and tell for every token what memory did for it.

    `memory`: entries of the kNN store (None: as the model was configured). Its first `max_tokens` tokens are read.
    `other` fills the memory of the last reading with at most as many tokens, as in `evaluate`; without one it is left
    out. `on_progress(reading, done, total)` counts tokens.
    """
    owner: Any = model
    config = owner.config
    knn = config.pools.knn
    size = (0 if knn is None else knn.size) if memory is None else memory
    if size and knn is None:
        raise Problem(f"memory {size}: this model has no kNN memory; inspect it with memory 0")
    owner.init_state(1, size)
    text = _text(document, tokenizer, max_tokens)
    n = len(text.ids) - (tokenizer.start is None)
    if size and n <= config.segment:
        raise Problem(
            f"{document.id}: {n} tokens to predict, and the memory is empty for the first {config.segment}, a segment: "
            "give a longer text, or inspect it with memory 0"
        )
    training = model.training
    model.eval()
    try:
        reader = _Readings(model, tokenizer, text, size, precision, on_progress)
        nats = reader.nats(other)
        found: list[list[Found]] = [[] for _ in text.ids]
        told = heads(_noting(reader.looks(), found), _spans(owner), size + config.segment)
    finally:
        model.train(training)
    spans = tokenizer.spans(document.text)[: len(text.ids)]
    return Inspection(
        document=document,
        other=other.id if "other" in nats and other is not None else None,
        memory=size,
        window=config.window,
        segment=config.segment,
        top_k=knn.top_k if size else 0,
        value=knn.value if size else "",
        nats=nats,
        spans=spans,
        kinds=kinds(document.text, spans, config.window),
        found=found,
        heads=told,
    )


def _text(document: Document, tokenizer: Tokenizer, max_tokens: int) -> Text:
    if max_tokens < 1:
        raise Problem(f"max_tokens {max_tokens}: must be at least 1")
    try:
        (text,) = prepared([document], tokenizer, max_tokens)
    except Problem:
        raise Problem(f"{document.id}: no token to predict: it is empty, or a single token") from None
    return text


@dataclass(frozen=True)
class _Readings:
    """One text, read in several ways."""

    model: nn.Module
    tokenizer: Tokenizer
    text: Text
    memory: int
    precision: Precision
    on_progress: Progress

    def nats(self, other: Document | None) -> dict[str, Nats]:
        """The losses of each token in each reading."""
        one = [self.text]
        if not self.memory:
            return {"none": self._reader("reading").own(one, 0)[0]}
        found = {
            "memory": self._reader("reading with memory").own(one, self.memory)[0],
            "none": self._reader("reading without memory").own(one, 0)[0],
            "shuffled": self._reader("reading with its memory shuffled").shuffled(one, self.memory)[0],
        }
        if other is not None:
            filling = _text(other, self.tokenizer, len(self.text.ids))
            found["other"] = self._reader("reading with the other memory").filled(one, [filling], self.memory)[0]
        return found

    def looks(self) -> Iterator[Look]:
        """What was looked at, segment by segment."""
        count = self._count("looking at what was remembered")
        return traced(self.model, self.tokenizer, self.text, self.memory, self.precision, count)

    def _reader(self, name: str) -> Reader:
        return Reader(self.model, self.tokenizer, 1, self.precision, self._count(name))

    def _count(self, name: str) -> Callable[[int], None]:
        done, total = 0, len(self.text.ids) - (self.tokenizer.start is None)

        def count(tokens: int) -> None:
            nonlocal done
            done += tokens
            self.on_progress(name, done, total)

        return count


def _noting(looks: Iterator[Look], found: list[list[Found]]) -> Iterator[Look]:
    """Each look, after its heaviest entries were put where their tokens stand."""
    for look in looks:
        entries = look.heaviest(NEIGHBOURS)
        found[look.first : look.first + len(entries)] = entries
        yield look


def _spans(model: Any) -> dict[int, Tensor]:
    """The learned spans by layer, in tokens."""
    return {
        layer: block.attention.span.ratio.detach().float().cpu() * block.attention.span.limit
        for layer, block in enumerate(model.layers)
        if block.attention.span is not None
    }


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
