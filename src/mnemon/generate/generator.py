import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mnemon.config import Problem
from mnemon.data import Tokenizer
from mnemon.generate.generation import Decoding, Generation, Remembered, Token
from mnemon.generate.sampling import Sampling, draw
from mnemon.model import MemoryState, Precision, computing


class Generator:
    """A model that reads documents into memory, then a prompt, then writes on. It owns the `MemoryState`.

    Whatever is fed in pieces, cut where the state has room, gives the logits that feeding it at once gives. `memory`:
    entries of the kNN store (None: as the model was configured).
    """

    def __init__(
        self, model: nn.Module, tokenizer: Tokenizer, memory: int | None = None, precision: Precision = "float32"
    ):
        self.model, self.tokenizer, self.precision = model, tokenizer, precision
        self.device = next(model.parameters()).device
        owner: Any = model
        self.state: MemoryState = owner.init_state(1, memory)
        self.remembered: list[Remembered] = []
        self._logits: Tensor | None = None
        if memory and not self.state.remembers:
            raise Problem(f"memory {memory}: this model has no kNN memory")

    def remember(self, name: str, text: str) -> Remembered:
        """Read a document to its end; what follows begins anew, with the memory of everything read so far."""
        if not self.state.remembers:
            raise Problem(f"{name}: this model has no kNN memory, so it cannot remember a document")
        self._begin()
        first = int(self.state.position[0])
        ids = self._ids(text)
        if len(ids):
            self._store(ids[None])
        self.remembered.append(Remembered(name, first, int(self.state.position[0])))
        return self.remembered[-1]

    def read(self, prompt: str) -> Float[Tensor, "1 vocabulary"]:
        """Begin a text with a prompt; the logits of the token that follows it."""
        ids = self._ids(prompt)
        if not len(ids):
            raise Problem("the prompt is empty, and this tokenizer has no start token: give at least one word")
        self._begin()
        self._logits = self._feed(ids[None])
        return self._logits

    def write(self, sampling: Sampling, on_token: Callable[[Token], None] | None = None) -> Generation:
        """Continue the text, token by token; a further call continues its first row."""
        if self._logits is None:
            raise ValueError("nothing to continue: read a prompt first")
        generator = torch.Generator().manual_seed(sampling.seed)
        self.state.select(torch.zeros(sampling.rows, dtype=torch.long))
        logits = self._logits.expand(sampling.rows, -1)
        rows = [Decoding(self.tokenizer) for _ in range(sampling.rows)]
        for step in range(sampling.max_tokens):
            chosen = draw(self._allowed(logits), sampling, generator)
            for row, token in enumerate(chosen.tolist()):
                added = rows[row].add(token, last=step + 1 == sampling.max_tokens)
                if on_token is not None:
                    on_token(Token(row, token, added))
            logits = self._feed(chosen[:, None])
        self._logits = logits[:1]
        self.state.select(torch.zeros(1, dtype=torch.long))
        return Generation(
            tuple(row.text for row in rows), tuple(tuple(row.ids) for row in rows), tuple(self.remembered)
        )

    def _begin(self) -> None:
        """A new text: the recent past is forgotten, the memory of it stays."""
        self.state.reset(torch.ones(1, dtype=torch.bool), memory=False)
        self._logits = None

    def _ids(self, text: str) -> Int[Tensor, " n"]:
        ids = torch.from_numpy(self.tokenizer.encode(text)).long()
        start = self.tokenizer.start
        return ids if start is None else torch.cat([torch.tensor([start]), ids])

    @torch.no_grad()
    def _feed(self, ids: Int[Tensor, "b n"]) -> Float[Tensor, "b vocabulary"]:
        """Read tokens in pieces that fit; the logits after the last."""
        model: Any = self.model
        with _evaluating(model):
            for piece, _ in self._pieces(ids):
                with computing(self.device, self.precision):
                    output, update = model(piece, self.state)
                self.state.commit(update)
            with computing(self.device, self.precision):
                logits: Tensor = model.head.logits(output.hidden[:, -1])
        return logits

    def _store(self, ids: Int[Tensor, "b n"]) -> None:
        """Remember tokens up to the end of their document, and compute no more of the model than that takes."""
        model: Any = self.model
        with _evaluating(model):
            for piece, last in self._pieces(ids):
                with computing(self.device, self.precision):
                    update = model.remember(piece, self.state)
                self.state.commit(update, torch.full((len(ids),), last))

    def _pieces(self, ids: Int[Tensor, "b n"]) -> Iterator[tuple[Int[Tensor, "b t"], bool]]:
        """Tokens cut where the state has room, each piece with whether it is the last."""
        at = 0
        while at < ids.shape[1]:
            piece = ids[:, at : at + self.state.room()]
            at += piece.shape[1]
            yield piece.to(self.device), at == ids.shape[1]

    def _allowed(self, logits: Float[Tensor, "b vocabulary"]) -> Float[Tensor, "b tokens"]:
        """No id beyond the tokenizer's, and never the start id: it is fed, not predicted."""
        logits = logits[:, : self.tokenizer.vocab_size].clone()
        if self.tokenizer.start is not None:
            logits[:, self.tokenizer.start] = -torch.inf
        return logits


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout meanwhile."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
