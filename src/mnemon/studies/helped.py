from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mnemon.data import Document, inputs_and_targets
from mnemon.evaluate import Scored
from mnemon.model import LayerTrace, Transformer, computing
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


@torch.no_grad()
def _retrieved(run: Run, text: _Text, tokens: list[int], memory: int) -> dict[int, list[dict[str, Any]]]:
    """What the memory heads looked at when each of the tokens was predicted."""
    start = run.tokenizer.start
    inputs, _ = inputs_and_targets(text.ids, start)
    shift = 0 if start is not None else 1  # token i is predicted from input i - shift
    model: Transformer = run.model
    state, found, segment = model.init_state(1, memory), dict[int, list[dict[str, Any]]](), model.config.segment
    for first in range(0, max(tokens) - shift + 1, segment):
        piece = torch.from_numpy(inputs[first : first + segment].astype(np.int64))[None]
        with computing(piece.device, run.config.train.precision):
            output, update = model(piece, state, inspect=True)
        for token in tokens:
            query = token - shift - first
            if 0 <= query < piece.shape[1]:
                found[token] = _passages(output.traces, query, text, first + query, start)
        state.commit(update)
    return found


def _passages(
    traces: Sequence[LayerTrace], query: int, text: _Text, at: int, start: int | None
) -> list[dict[str, Any]]:
    """The heaviest remembered tokens over all heads; `weight` is the share of the head's output."""
    back = 1 if start is not None else 0  # input i is token i - back
    entries: list[tuple[float, int, int, int]] = []
    for layer, trace in enumerate(traces):
        if trace.neighbours is None:
            continue
        read, share = trace.neighbours, trace.shares["knn"]
        for head in range(share.shape[1]):
            weights = read.weights[0, head, query] * share[0, head, query]
            for weight, position in zip(weights.tolist(), read.positions[0, head, query].tolist(), strict=True):
                if position >= back:
                    entries.append((weight, position, head, layer))
    entries.sort(reverse=True)
    shown: dict[int, dict[str, Any]] = {}
    for weight, position, head, layer in entries:
        if position not in shown and len(shown) < PASSAGES:
            place = {"weight": weight, "head": head, "layer": layer, "age": at - position}
            shown[position] = text.around(position - back) | place
    return list(shown.values())
