"""Reading a document into memory: the host runs over it, and every layer with a memory hands over keys and values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from mnemon.hosts.config import MemoryConfig
from mnemon.hosts.namespaces import Enough, Namespaces
from mnemon.hosts.segments import Segment, Text, segments
from mnemon.memory import Document, DocumentStore

Progress = Callable[[int, int], None]
BATCH = 8  # segments that are fed at once where they do not wait for each other


class Reader:
    """Feeds documents to a host without gradient, dropout or cache, and puts what its layers hand over into a store."""

    def __init__(
        self, model: PreTrainedModel, layers: Sequence[int], config: MemoryConfig, source: Namespaces, first: list[int]
    ):
        self.model, self.layers, self.config, self.source, self.first = model, layers, config, source, first

    def read(self, document: Document, text: Text, store: DocumentStore, progress: Progress) -> int:
        """Add `document`, which has no entries yet, to the store; how many entries came. All or nothing is added."""
        sees = self.config.sees
        last: dict[int, Tensor] = {}
        own = store if sees == "memory" else DocumentStore(max(self.config.size, len(text.tokens)))
        cut = list(segments(text.tokens, self.config.segment, self.config.overlap, self.first))
        step = BATCH if sees == "local" else 1
        done = 0
        with reading(self.model):
            for batch in (cut[at : at + step] for at in range(0, len(cut), step)):
                seen = [None if sees == "local" else own] * len(batch)
                for piece in self._pieces(batch, seen, document, text):
                    if self.config.value == "next":
                        piece, last = _shifted(piece, last)
                    own.add(piece)
                    done += len(piece)
                progress(done, len(text.tokens))
        if own is not store:
            for whole in own.documents():
                store.add(whole)
        return done

    def shape(self) -> tuple[int, int]:
        """Key/value heads and their width, as one token shows them."""
        with reading(self.model):
            k, _ = self._feed(torch.zeros(1, 1, dtype=torch.long), None, [None])[self.layers[0]]
        return k.shape[1], k.shape[3]

    def _pieces(
        self, batch: Sequence[Segment], seen: Sequence[DocumentStore | None], document: Document, text: Text
    ) -> Iterator[Document]:
        """What is to be remembered of each segment."""
        longest = max(len(each.ids) for each in batch)
        ids = torch.stack([nn.functional.pad(each.ids, (0, longest - len(each.ids))) for each in batch])
        lengths = torch.tensor([len(each.ids) for each in batch])
        mask = torch.arange(longest) < lengths[:, None]
        fresh = self._feed(ids, None if bool(mask.all()) else mask, seen)
        for row, each in enumerate(batch):
            n = len(each.ids) - each.fresh
            part = slice(each.start, each.start + n)
            keys, values = (
                {at: pair[side][row, :, each.fresh : len(each.ids)].clone() for at, pair in fresh.items()}
                for side in (0, 1)
            )
            positions = torch.arange(each.start, each.start + n)
            yield replace(
                document,
                tokens=text.tokens[part],
                spans=text.spans[part],
                positions=positions,
                keys=keys,
                values=values,
            )

    def _feed(
        self, ids: Tensor, mask: Tensor | None, seen: Sequence[DocumentStore | None]
    ) -> dict[int, tuple[Tensor, Tensor]]:
        """Keys and values of each layer for one batch of segments."""
        device = self.model.device
        mask = None if mask is None else mask.long().to(device)
        self.source.rows, self.source.fresh, self.source.wanted = seen, {}, set(self.layers)
        try:
            with suppress(Enough):
                self.model.base_model(input_ids=ids.to(device), attention_mask=mask, use_cache=False)
            return self.source.fresh
        finally:
            self.source.rows, self.source.fresh, self.source.wanted = None, {}, set()


def _shifted(piece: Document, last: Mapping[int, Tensor]) -> tuple[Document, dict[int, Tensor]]:
    """A piece whose values stand with the key of the token before, and its own last keys; the first has none before."""
    keys = {at: torch.cat([last.get(at, k[:, :1]), k[:, :-1]], dim=1) for at, k in piece.keys.items()}
    return replace(piece, keys=keys), {at: k[:, -1:] for at, k in piece.keys.items()}


@contextmanager
def reading(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, without gradient; afterwards as it was."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
