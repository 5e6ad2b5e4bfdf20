from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnemon.data import Document
from mnemon.evaluate import Found, Scored, Text, traced
from mnemon.studies.workers import Progress
from mnemon.train import Run, load_run

AROUND = 60  # characters shown before and after a token
PASSAGES = 3  # retrieved passages shown a token
LEAST = 3  # characters of a token worth showing


@dataclass(frozen=True)
class _Text:
    """A document with the character span of each of its tokens."""

    document: Document
    ids: np.ndarray
    spans: np.ndarray

    def around(self, token: int) -> dict[str, Any]:
        """A token in its context, and where it stands."""
        start, end = (int(edge) for edge in self.spans[token])
        text, place = self.document.text, self.document.locate(start)
        return {
            "document": place.document,
            "file": place.file,
            "line": place.line,
            "before": text[max(0, start - AROUND) : start],
            "token": text[start:end],
            "after": text[end : end + AROUND],
        }


def helped(  # a run, what was read how, and the progress that every task of `run_all` is given
    folder: Path,
    documents: Sequence[Document],
    without: Sequence[Scored],
    with_memory: Sequence[Scored],
    memory: int,
    progress: Progress,
) -> list[dict[str, Any]]:
    """The tokens that memory helped most, a few of several documents, with the passages their heads retrieved."""
    run = load_run(folder)
    chosen = _chosen(run, documents, without, with_memory)
    found: list[dict[str, Any]] = []
    by_name = {document.id: document for document in documents}
    for number, (name, tokens) in enumerate(chosen.items()):
        progress("looking up what helped", number, len(chosen), name)
        ids = run.tokenizer.encode(by_name[name].text)
        text = _Text(by_name[name], ids, run.tokenizer.spans(by_name[name].text))
        passages = _retrieved(run, text, sorted(token for token, _, _ in tokens), memory)
        for token, loss_without, loss_with in tokens:
            losses = {"loss_without": loss_without, "loss_with": loss_with}
            found.append(text.around(token) | losses | {"passages": passages[token]})
    progress("looking up what helped", len(chosen), len(chosen), "")
    return sorted(found, key=lambda each: each["loss_with"] - each["loss_without"])


def _chosen(
    run: Run, documents: Sequence[Document], without: Sequence[Scored], with_memory: Sequence[Scored]
) -> dict[str, list[tuple[int, float, float]]]:
    """Tokens of largest gain: three words of three letters or more in each of the four documents that gain most."""
    texts = {document.id: document.text for document in documents}
    gains = {a.document: float((a.nats - b.nats).sum()) for a, b in zip(without, with_memory, strict=True)}
    best = sorted(gains, key=lambda name: -gains[name])[:4]
    chosen: dict[str, list[tuple[int, float, float]]] = {}
    for a, b in zip(without, with_memory, strict=True):
        if a.document not in best:
            continue
        text, spans = texts[a.document], run.tokenizer.spans(texts[a.document])
        taken: dict[str, tuple[int, float, float]] = {}
        for index in np.argsort(b.nats - a.nats):
            token = int(a.positions[index])
            word = text[slice(*spans[token])].strip()
            if len(word) >= LEAST and word.isidentifier() and word not in taken:
                taken[word] = (token, float(a.nats[index]), float(b.nats[index]))
            if len(taken) == PASSAGES:
                break
        chosen[a.document] = list(taken.values())
    return chosen


def _retrieved(run: Run, text: _Text, tokens: list[int], memory: int) -> dict[int, list[dict[str, Any]]]:
    """What the memory heads looked at when each of the tokens was predicted."""
    read = Text(text.document, text.ids[: max(tokens) + 1], np.zeros(0, np.int64))
    found: dict[int, list[dict[str, Any]]] = {}
    for look in traced(run.model, run.tokenizer, read, memory, run.config.train.precision):
        for token, entries in enumerate(look.heaviest(PASSAGES), look.first):
            if token in tokens:
                found[token] = [_passage(text, token, entry) for entry in entries]
    return found


def _passage(text: _Text, token: int, entry: Found) -> dict[str, Any]:
    """A remembered token in its context; `weight` is the share of the head's output, `age` in tokens."""
    place = {"weight": entry.weight, "head": entry.head, "layer": entry.layer, "age": token - entry.token}
    return text.around(entry.token) | place
