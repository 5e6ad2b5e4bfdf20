from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mnemon.ops import Neighbours


def dealt(seed: int, written: int, count: int) -> Int[Tensor, " n"]:
    """In which order `Store.shuffled` deals out the `count` values of a row that was written so often."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + written))


class Store(ABC):
    """What the rows of a kNN memory have written, and how it is searched: wherever it lies, and whatever finds it.

    Each row holds its last `size` entries: a key and a value a head, and a stream position. `written[b]`, on the CPU,
    counts those ever written to a row since its reset. A store is the only object of the library that is changed in
    place, by `write` and `reset`; what `find` returned before a write is refused after it, unless it is a copy.
    """

    size: int
    written: Int[Tensor, " b"]

    @abstractmethod
    def write(
        self,
        keys: Float[Tensor, "b h n d"],
        values: Float[Tensor, "b h n d"],
        positions: Int[Tensor, "b n"],
        lengths: Int[Tensor, " b"],
        starts: Int[Tensor, " b"] | None = None,
    ) -> None:
        """Append the first `lengths[b]` entries of each row; of more than a capacity's worth the last ones stay.

        `starts` tells documents apart: the position of the first token of the one that a row's entries belong to (None:
        each row has one document). Where a row is full, its oldest entry goes, unless the kind says otherwise.
        """

    @abstractmethod
    def attended(self, found: Neighbours, weights: Float[Tensor, "b h t k"]) -> None:
        """Take note of what `find` gave and how much attention each neighbour had, before the segment is written.

        What to give up may follow from it; what is held and found does not change.
        """

    @abstractmethod
    def reset(self, rows: Bool[Tensor, " b"]) -> None:
        """Forget everything in `rows`."""

    @abstractmethod
    def find(
        self,
        q: Float[Tensor, "b h t d"],
        top_k: int,
        rows: Int[Tensor, " b"],
        before: Int[Tensor, "b t"] | None = None,
    ) -> Neighbours | None:
        """The `top_k` best entries for each query, those of row i out of the store's row `rows[i]`.

        `before`: only entries whose position is below it (by query). None where nothing is stored at all. `rows` and
        `before` are on the CPU.
        """

    @abstractmethod
    def chosen(self, rows: Int[Tensor, " b2"]) -> Self:
        """A store of its own whose row i holds what row `rows[i]` holds here."""

    @abstractmethod
    def shuffled(self, seed: int) -> "Store":
        """A store with the same keys, whose values are dealt out anew among them, row by row and all heads alike.

        A value keeps its position: what a search finds then tells whose value it was given. The order follows from
        the seed and from how much was written to the row, whatever other rows there are. It is to be read, and not
        once more is written here: it may share what is stored.
        """

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """All that is stored, by name, for a checkpoint: the live tensors."""


@dataclass(frozen=True)
class StoreKind(ABC):
    """Makes stores of one kind: what `KNNConfig.index` names. Its fields are the options, numbers or texts."""

    @abstractmethod
    def check(self) -> None:
        """A `Problem` where a package that it needs is missing."""

    @abstractmethod
    def reach(self, dim: int) -> None:
        """A `Problem` where what stores for heads of size `dim` would lie in is away, or not for them.

        Asked for whenever something begins that will remember: before it has done any work.
        """

    @abstractmethod
    def empty(self, rows: int, heads: int, size: int, dim: int, like: Tensor) -> Store:
        """A store that holds nothing; entries will have the dtype of `like` and lie on its device."""

    @abstractmethod
    def loaded(self, tensors: Mapping[str, Tensor], size: int) -> Store:
        """A store of its own with what `tensors` of another gave, and room for `size` entries a row if it has more."""
