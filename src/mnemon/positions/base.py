from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from mnemon.config import Config

Since = Literal["stream", "segment"]


class SchemeConfig(Config):
    """Settings of a position scheme. `absolute`: it enters with the tokens, once, and not in each layer's attention."""

    absolute: ClassVar[bool] = False


class Position(nn.Module, ABC):
    """How the distance between a query and a key of the recent past enters attention.

    Keys without a position (persistent vectors, kNN memory) never meet it: stored keys are un-rotated. Absolute
    positions enter by `embed` alone, so that everything made of a token carries them, what is cached and stored too.
    """

    @abstractmethod
    def embed(self, stream: Int[Tensor, "b t"], segment: Int[Tensor, "b t"]) -> Float[Tensor, "b t e"] | None:
        """What is added to token embeddings, whose places in the row's stream and in the segment are given."""

    @abstractmethod
    def rotate(self, x: Float[Tensor, "b h t d"], position: Int[Tensor, " t"]) -> Float[Tensor, "b h t d"]:
        """Queries or keys turned by their position; unchanged by schemes that do not rotate."""

    @abstractmethod
    def query(self, q: Float[Tensor, "b h t d"]) -> Float[Tensor, "b h t d"]:
        """Queries for content scores against recent keys; unchanged unless the scheme adds a vector."""

    @abstractmethod
    def bias(self, q: Float[Tensor, "b h t d"], distance: Int[Tensor, " x"]) -> Float[Tensor, "#b h #t x"] | None:
        """What is added to q.k at each of these distances (query position minus key position), before scaling."""
