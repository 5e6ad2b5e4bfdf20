from collections.abc import Sequence
from time import perf_counter, process_time

import torch
from torch import Tensor

from mnemon.data import Batch
from mnemon.model import MemoryState, computing
from mnemon.pools import Fresh
from mnemon.train import RunConfig, Trainer


class Training:
    """A model in training on random tokens, whose rows never come to the end of a document.

    `like`: one with the same weights, trained by turns; only what the rows remember is of its own.
    """

    def __init__(self, config: RunConfig, like: "Training | None" = None):
        self.config = config
        self.trainer: Trainer = like.trainer if like else Trainer(config.model.build(config.train.seed), config.train)
        knn = config.model.pools.knn
        self.size = 0 if knn is None else knn.size
        self.states: list[MemoryState] = [self.trainer.model.init_state(config.train.lanes, self.size)]
        self.draw = torch.Generator().manual_seed(config.train.seed)

    def seconds(self, steps: int) -> tuple[float, float]:
        """Make so many steps and say how long they took: by the clock, and in processor time."""
        batches = [self.batch() for _ in range(steps)]
        self.trainer.states = self.states
        begun, worked = perf_counter(), process_time()
        for batch in batches:
            self.trainer.advance(batch)
        return perf_counter() - begun, process_time() - worked

    def batch(self) -> Batch:
        """A segment of random tokens for each row."""
        rows, segment = self.config.train.lanes, self.config.model.segment
        tokens = torch.randint(self.config.model.vocab_size, (rows, segment + 1), generator=self.draw)
        none, lengths = torch.zeros(rows, dtype=torch.bool), torch.full((rows,), segment)
        return Batch(tokens[:, :-1], tokens[:, 1:], none, lengths, none, torch.arange(rows), lengths)

    def fill(self) -> None:
        """Have every row read a memory's worth of tokens, without learning from them."""
        (state,) = self.states
        for _ in range(-(-self.size // self.config.model.segment)):
            with computing(self.trainer.device, self.config.train.precision):
                update = self.trainer.model.remember(self.batch().tokens, state)
            state.commit(update)
        state.reset(torch.ones(state.rows, dtype=torch.bool), memory=False)

    def forget(self) -> None:
        """From now on, empty the memory as soon as it is written."""
        self.states = [_Forgetful(state.pools, state.rows, state.segment) for state in self.states]


class _Forgetful(MemoryState):
    """A state whose kNN memory is written, as always, and emptied at once."""

    def commit(self, update: Sequence[Fresh], ends: Tensor | None = None, memory: bool = True) -> None:
        super().commit(update, ends, memory)
        everyone = torch.ones(self.rows, dtype=torch.bool)
        for layer, states in zip(self.pools, self.states, strict=True):
            states |= {name: pool.reset(states[name], everyone) for name, pool in layer.items() if name == "knn"}
