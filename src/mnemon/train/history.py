from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from mnemon.data import Batch
from mnemon.model import MemoryState, Precision, computing


@dataclass(frozen=True)
class Piece:
    """What the lanes read in one step, and the stream position of each lane's first token of it."""

    tokens: Tensor
    lengths: Tensor
    starts: Tensor
    ends: Tensor
    position: Tensor


class History:
    """The last pieces that the lanes of one micro-batch have read: enough to read again all that they remember.

    Where a document is longer, entries of a second memory layer were made with more memory below them than is read
    again; those of the first are exact.
    """

    def __init__(self, state: MemoryState):
        self.pieces: deque[Piece] = deque(maxlen=-(-state.reach() // state.segment) + 1)

    def note(self, batch: Batch, state: MemoryState) -> None:
        """Add what was read and has just been committed to `state`."""
        position = state.position - batch.lengths
        self.pieces.append(Piece(batch.tokens, batch.lengths, batch.starts, batch.ends, position))

    def read_again(self, model: Any, precision: Precision) -> MemoryState:
        """The state that the lanes would have, had the model as it is now read it all; without dropout."""
        first = self.pieces[0]
        state: MemoryState = model.init_state(len(first.lengths))
        state.position = first.position.clone()
        device, training = next(model.parameters()).device, model.training
        model.eval()
        for piece in self.pieces:
            state.reset(piece.starts)
            with torch.no_grad(), computing(device, precision):
                _, update = model(piece.tokens.to(device), state, piece.lengths)
            state.commit(update, piece.ends)
        model.train(training)
        return state

    def tensors(self) -> dict[str, Tensor]:
        """Every piece, by name, for a checkpoint."""
        names = [field.name for field in fields(Piece)]
        return {name: torch.stack([getattr(piece, name) for piece in self.pieces]) for name in names if self.pieces}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        columns = [tensors[field.name].unbind() for field in fields(Piece)] if tensors else []
        self.pieces.extend(Piece(*each) for each in zip(*columns, strict=True))
