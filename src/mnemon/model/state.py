import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mnemon.config import Problem
from mnemon.pools import Fresh, KNNState, Pool, State
from mnemon.pools.cache import HiddenCache, KeyValueCache


@dataclass(frozen=True)
class LayerView:
    """What one layer reads of a `MemoryState`: its pools' states and each row's stream position."""

    states: Mapping[str, State]
    position: Int[Tensor, " b"]


@runtime_checkable
class Remembering(Protocol):
    """What training and evaluation ask of a state: `MemoryState`, or what stands in for it with another model."""

    segment: int

    @property
    def remembers(self) -> bool: ...

    def reset(self, rows: Bool[Tensor, " b"], memory: bool = True) -> None: ...

    def commit(self, update: Any, ends: Bool[Tensor, " b"] | None = None, memory: bool = True) -> None: ...

    def shuffled(self, seed: int) -> "Remembering": ...

    def tensors(self) -> dict[str, Tensor]: ...

    def load(self, tensors: Mapping[str, Tensor], device: torch.device | None = None) -> None: ...


class MemoryState:
    """Everything the rows of a batch remember, owned by whoever feeds the model.

    `model(tokens, state)` reads it and returns an update; the owner calls `commit` after `backward`, or at once where
    no gradient is taken. `position` is the stream position of each row's next token, `phase` the tokens since its
    last segment boundary; both live on the CPU.
    """

    def __init__(self, pools: Sequence[Mapping[str, Pool]], rows: int, segment: int, memory: int | None = None):
        self.pools, self.segment = pools, segment
        self.states = [{name: pool.init_state(rows, memory) for name, pool in layer.items()} for layer in pools]
        self.position = torch.zeros(rows, dtype=torch.long)
        self.phase = torch.zeros(rows, dtype=torch.long)

    @property
    def rows(self) -> int:
        """Rows of the batch."""
        return len(self.position)

    @property
    def remembers(self) -> bool:
        """Whether any layer has a kNN memory."""
        return any("knn" in layer for layer in self.pools)

    def reach(self) -> int:
        """Tokens that decide what is remembered: those of the largest memory, and what could be seen when they came."""
        pools = [pool for layer in self.pools for pool in layer.values()]
        seen = sum(pool.length for pool in pools if isinstance(pool, HiddenCache | KeyValueCache))
        states = [state for layer in self.states for state in layer.values()]
        return seen + max((state.size for state in states if isinstance(state, KNNState)), default=0)

    def layer(self, index: int = 0) -> LayerView:
        """What layer `index` may read."""
        return LayerView(self.states[index], self.position)

    def room(self) -> int:
        """Tokens that may be fed in one call before some row reaches its segment boundary."""
        return self.segment - int(self.phase.max())

    def commit(self, update: Sequence[Fresh], ends: Bool[Tensor, " b"] | None = None, memory: bool = True) -> None:
        """Write a segment; rows in `ends` finish their document, which moves a begun segment into the memory.

        With `memory=False` the kNN memory stays as it is: the segment was read with it and is not added to it.
        Layers that the update ends before (`Transformer.remember`) forget their recent past: it has a gap now.
        """
        if not torch.equal(update[0].position, self.position):
            raise ValueError("this update was made from another state, or committed before: feed the model again")
        lengths = update[0].real()
        everyone = torch.ones(self.rows, dtype=torch.bool)
        for index, layer in enumerate(self.pools[len(update) :], len(update)):
            states = self.states[index]
            self.states[index] = {
                name: pool.reset(states[name], everyone, memory=False) for name, pool in layer.items()
            }
        for index, (layer, fresh) in enumerate(zip(self.pools, update, strict=False)):
            fresh = replace(fresh, ends=ends)
            states = self.states[index]
            self.states[index] = {
                name: pool.update(states[name], fresh) if memory or name != "knn" else states[name]
                for name, pool in layer.items()
            }
        self.position = self.position + lengths
        self.phase = (self.phase + lengths) % self.segment
        if ends is not None:
            self.phase = self.phase.masked_fill(ends, 0)

    def reset(self, rows: Bool[Tensor, " b"], memory: bool = True) -> None:
        """Forget the past of `rows`, because a new document begins there.

        With `memory=False` the kNN memory and the stream position stay: the next document of one collection.
        """
        if not bool(rows.any()):
            return
        for index, layer in enumerate(self.pools):
            states = self.states[index]
            self.states[index] = {name: pool.reset(states[name], rows, memory) for name, pool in layer.items()}
        self.phase = self.phase.masked_fill(rows, 0)
        if memory:
            self.position = self.position.masked_fill(rows, 0)

    def select(self, rows: Int[Tensor, " b2"]) -> None:
        """Make row i what row `rows[i]` was (beam search); the kNN memory is shared, not copied."""
        for index, layer in enumerate(self.pools):
            states = self.states[index]
            self.states[index] = {name: pool.select(states[name], rows) for name, pool in layer.items()}
        self.position, self.phase = self.position[rows.cpu()], self.phase[rows.cpu()]

    def copied(self) -> "MemoryState":
        """A state of its own that remembers the same: what is committed to one, the other never sees."""
        twin = copy.copy(self)
        twin.states = [
            # Only a store is ever changed in place, and `loaded` takes a copy of it; all else is replaced.
            {name: state.loaded(name, state.tensors(name)) for name, state in layer.items()}
            for layer in self.states
        ]
        return twin

    def shuffled(self, seed: int) -> "MemoryState":
        """A state to read with, a control: each row's remembered values are dealt out anew among its keys.

        Everything else is as it was. Commit what was read to this state, not to the shuffled one.
        """
        mixed = copy.copy(self)
        mixed.states = [
            {
                name: replace(state, store=state.store.shuffled(seed))
                if isinstance(state, KNNState) and state.store is not None
                else state
                for name, state in layer.items()
            }
            for layer in self.states
        ]
        return mixed

    def tensors(self) -> dict[str, Tensor]:
        """Everything remembered, by name, for a checkpoint: the live tensors, to be saved before the next commit."""
        found = {"position": self.position, "phase": self.phase}
        for index, layer in enumerate(self.states):
            for name, state in layer.items():
                found |= state.tensors(f"{index}.{name}")
        return found

    def load(self, tensors: Mapping[str, Tensor], device: torch.device | None = None) -> None:
        """Take over what `tensors` of another state of the same model gave; `device`: where the model computes.

        One number a row stays on the CPU, where everything that is counted lives.
        """
        values = {name: tensor if tensor.ndim == 1 else tensor.to(device) for name, tensor in tensors.items()}
        loaded = copy.copy(self)
        loaded.position, loaded.phase = values.get("position", self.position), values.get("phase", self.phase)
        loaded.states = [
            {name: state.loaded(f"{index}.{name}", values) for name, state in layer.items()}
            for index, layer in enumerate(self.states)
        ]
        if foreign := sorted(loaded.tensors().keys() ^ values.keys()):
            raise Problem(f"the saved memory belongs to another model: {foreign[0]} is in only one of the two")
        self.position, self.phase, self.states = loaded.position, loaded.phase, loaded.states
