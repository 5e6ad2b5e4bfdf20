"""What a layer with a memory carries, and whom it asks."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedConfig

from mnemon.hosts.config import MemoryConfig
from mnemon.hosts.placing import Place
from mnemon.ops import Neighbours, Shared

# For what a compiler leaves as it is: what a memory holds changes between calls, and is part of no graph.
uncompiled = partial(torch.compiler.disable, reason="a memory is searched between graphs: leave out fullgraph=True")


@dataclass(frozen=True)
class Found:
    """What a source found for some rows of the batch.

    `read`: neighbours of their queries, either of one store for all of `rows` [r], whose queries then stand in one line
    (s = 1), or of a store for each (s = r); or `Shared`, one whole store for all of `rows`, with the age of each of its
    m entries [1 1 1 m]. `age` of each neighbour in entries. `before`: how many tokens were there
    before the host's position 0.
    """

    rows: Int[Tensor, " r"]
    read: Neighbours | Shared
    age: Int[Tensor, "s #g #n k"]
    before: Int[Tensor, " s"]


class Source(ABC):
    """Whom seams ask for what is remembered."""

    @property
    @abstractmethod
    def remembers(self) -> bool:
        """Whether there is anything to search."""

    @property
    @abstractmethod
    def keeps(self) -> bool:
        """Whether segments are noted down."""

    @abstractmethod
    def search(self, layer: int, q: Float[Tensor, "b g n d"]) -> Sequence[Found]:
        """Neighbours of un-rotated queries; rows that have nothing to search are left out."""

    @abstractmethod
    def keep(self, layer: int, k: Float[Tensor, "b g t d"], v: Float[Tensor, "b g t d"]) -> None:
        """Note down a segment's un-rotated keys and values."""


@dataclass(frozen=True)
class Seen:
    """What a layer's queries drew from one store: neighbours, and the share of each in its head's output."""

    layer: int
    rows: Int[Tensor, " r"]
    ids: Int[Tensor, "r h t k"]
    share: Float[Tensor, "r h t k"]


@dataclass
class Seam:
    """What a layer with a memory carries: whom it asks, and how it merges.

    `shared` is the config of the whole model, which names the host's own attention; `owner` the memory that was
    attached. `trace`, where it is a list, gets what every forward draws from the memory.
    """

    layer: int
    shared: PreTrainedConfig
    config: MemoryConfig
    source: Source
    place: Place
    trace: list[Seen] | None = None
    owner: object = None
    handles: list[RemovableHandle] = field(default_factory=list)


def seam_of(module: nn.Module) -> Seam | None:
    """The seam of an attention module that has a memory."""
    found = module.__dict__.get("memory_seam")
    return found if isinstance(found, Seam) else None
