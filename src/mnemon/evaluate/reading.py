from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from mnemon.config import Problem
from mnemon.data import Batch, Document, Lanes, Tokenizer
from mnemon.evaluate.scored import Scored, token_bytes
from mnemon.model import Precision, Remembering, computing

Nats = Float32[np.ndarray, "_"]  # of the tokens of one document, each of its own length
Count = Callable[[int], None]
SEED = 0  # of the order in which a shuffled memory deals out its values


@dataclass(frozen=True)
class Text:
    """A document ready to be read: its tokens and their bytes, at most as many as asked for."""

    document: Document
    ids: np.ndarray
    bytes: np.ndarray


def prepared(documents: Sequence[Document], tokenizer: Tokenizer, max_tokens: int | None) -> list[Text]:
    """The documents in which there is anything to predict; a `Problem` if there are none."""
    least = 1 if tokenizer.start is not None else 2
    texts = []
    for document in documents:
        ids, sizes = tokenizer.encode(document.text), token_bytes(document.text, tokenizer)
        texts.append(Text(document, ids[:max_tokens], sizes[:max_tokens]))
    texts = [text for text in texts if len(text.ids) >= least]
    if not texts:
        raise Problem("no document has a token to predict: none was given, or all are empty or too short")
    return texts


@dataclass(frozen=True)
class Reader:
    """Reads texts aloud, many side by side, each from an empty memory, and notes what every token costs."""

    model: nn.Module
    tokenizer: Tokenizer
    rows: int
    precision: Precision
    count: Count

    def own(self, texts: Sequence[Text], memory: int) -> list[Nats]:
        """Nats of each token (NaN where none was predicted), with the memory that the text itself fills."""
        return self._read_aloud(texts, memory, mixed=False)

    def shuffled(self, texts: Sequence[Text], memory: int) -> list[Nats]:
        """The same, but each value in the memory is paired with another entry's key, anew for each segment."""
        return self._read_aloud(texts, memory, mixed=True)

    def _read_aloud(self, texts: Sequence[Text], memory: int, mixed: bool) -> list[Nats]:
        # Longest first: lanes then end at about the same time, and neighbours are of similar length.
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i].ids))
        streams = any(text.document.stream for text in texts)
        rows = self.rows if streams else min(self.rows, len(texts))
        lanes, state = self._lanes([texts[i] for i in order], rows, streams), self._state(rows, memory)
        nats = [np.full(len(text.ids), np.nan, np.float32) for text in texts]
        for batch, losses in self._read(lanes, state, remember=True, mixed=mixed):
            self._note(batch, losses, [texts[i] for i in order], [nats[i] for i in order])
        return nats

    def other(self, texts: Sequence[Text], memory: int) -> list[Nats]:
        """The same with the memory that another text of similar length filled before, and that nothing is added to."""
        if len(texts) < 2:
            raise Problem("the memory of another document needs at least two documents")
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i].ids))
        strangers = [order[-1], *order[:-1]]
        nats = [np.zeros(0, np.float32) for _ in texts]
        for first in range(0, len(order), self.rows):
            group = order[first : first + self.rows]
            filling = [texts[j] for j in strangers[first : first + self.rows]]
            for i, found in zip(group, self.filled([texts[i] for i in group], filling, memory), strict=True):
                nats[i] = found
        return nats

    def filled(self, texts: Sequence[Text], filling: Sequence[Text], memory: int) -> list[Nats]:
        """Nats of texts read side by side, each with the memory of as many tokens, or fewer, of its `filling`."""
        cut = [
            Text(other.document, other.ids[: len(text.ids)], other.bytes)
            for text, other in zip(texts, filling, strict=True)
        ]
        nats = [np.full(len(text.ids), np.nan, np.float32) for text in texts]
        state = self._state(len(texts), memory)
        for _ in self._read(self._lanes(cut, len(cut)), state, remember=True):
            pass
        for batch, losses in self._read(self._lanes(texts, len(texts)), state, remember=False):
            self._note(batch, losses, texts, nats)
        return nats

    def _lanes(self, texts: Sequence[Text], rows: int, streams: bool = False) -> Lanes:
        """Lanes over tokens that are there already; text i is read in row i at first."""
        documents = [Document(str(i), "", stream=streams and text.document.stream) for i, text in enumerate(texts)]
        tokens = {str(i): text.ids for i, text in enumerate(texts)}
        segment = self._state(1, 0).segment
        return Lanes(documents, self.tokenizer, rows, segment, seed=0, shuffle=False, epochs=1, cache=tokens)

    def _state(self, rows: int, memory: int) -> Remembering:
        model: Any = self.model
        state: Remembering = model.init_state(rows, memory)
        return state

    def _read(
        self, lanes: Lanes, state: Remembering, remember: bool, mixed: bool = False
    ) -> Iterator[tuple[Batch, Tensor]]:
        """Each batch with its losses; with `remember` off the memory is read, and never emptied or written."""
        model: Any = self.model
        device = next(self.model.parameters()).device
        for batch in lanes:
            state.reset(batch.starts, memory=remember)
            with torch.no_grad(), computing(device, self.precision):
                read = state.shuffled(SEED) if mixed else state
                output, update = model(batch.tokens.to(device), read, batch.lengths)
                losses = model.head.nll(output.hidden, batch.targets.to(device))
            state.commit(update, batch.ends, memory=remember)
            yield batch, losses.float().cpu()

    def _note(self, batch: Batch, losses: Tensor, texts: Sequence[Text], nats: Sequence[Nats]) -> None:
        """Put the losses of a batch where their tokens stand."""
        shift = 0 if self.tokenizer.start is not None else 1  # input i predicts token i + 1 where there is no start id
        for row, length in enumerate(batch.lengths.tolist()):
            index, found = int(batch.documents[row]), losses[row, :length].numpy()
            if not np.isfinite(found).all():
                raise Problem(
                    f"{texts[index].document.id}: the loss of a token is not a number; the weights are broken"
                )
            if length:
                first = int(batch.offsets[row]) + shift
                nats[index][first : first + length] = found
        self.count(int(batch.lengths.sum()))


def scored(text: Text, nats: Nats, eos: int | None = None) -> Scored:
    """What was predicted of a text; `eos` is the id of a line end."""
    positions = np.flatnonzero(~np.isnan(nats))
    ends = None if eos is None else text.ids[positions] == eos
    return Scored(text.document.id, positions, nats[positions], text.bytes[positions], ends)
