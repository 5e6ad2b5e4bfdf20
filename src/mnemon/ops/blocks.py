"""How windowed attention is cut into blocks of queries, and where distances lie in the scores of a block."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from mnemon.ops.band import Band


@dataclass(frozen=True)
class Block:
    """Queries of one head and row, the keys that one of them may see, and the template's columns of these keys."""

    h: int
    b: int
    queries: slice
    keys: slice
    columns: slice

    @property
    def asked(self) -> tuple[int, int, slice]:
        return self.b, self.h, self.queries

    @property
    def read(self) -> tuple[int, int, slice]:
        return self.b, self.h, self.keys


@dataclass(frozen=True)
class Plan:
    """How the work is cut: blocks of at most `block` queries, rows within heads, so that shared keys stay cached."""

    band: Band
    t: int
    n: int
    block: int
    merges: bool
    learns: bool
    dropout: float

    def blocks(self, h: int, rows: int) -> Iterator[Block]:
        """The blocks of a head, row by row."""
        behind = self.n - self.t
        for b in range(rows):
            for start in range(0, self.t, self.block):
                stop = min(start + self.block, self.t)
                origin = start + behind - self.band.last  # the key that the template's first column stands for
                high = max(stop + behind - self.band.first, 0)
                low = min(max(origin, 0), high)
                yield Block(h, b, slice(start, stop), slice(low, high), slice(low - origin, high - origin))

    def blank(self, block: Block) -> bool:
        """Whether queries of a block may see no key at all of those in the band."""
        reaches = block.queries.start + self.n - self.t >= self.band.first
        return self.band.valid is not None or self.band.weight is not None or not reaches

    def template(self, rows: int, like: Tensor) -> Tensor:
        """[rows columns], a row for each query and a column for each key that one of `rows` of them may see."""
        return like.new_empty(rows, rows + self.band.width - 1)

    def diagonals(self, template: Tensor) -> Tensor:
        """The view [rows x] of a template by distance: its row i begins at column i."""
        shape, strides = (template.shape[0], self.band.width), (template.stride(0) + 1, 1)
        return template.as_strided(shape, strides, template.storage_offset())


def mask(last: Tensor | None, added: Tensor | None, block: Block, plan: Plan, like: Tensor) -> Tensor:
    """What is added to a block's scores, over all columns of its template: `added` along the diagonals, else -inf.

    `last` is that of the block before, which serves again where nothing differs between rows and queries.
    """
    rows = block.queries.stop - block.queries.start
    varies = added is not None and (added.shape[0] > 1 or added.shape[2] > 1)
    if last is not None and len(last) == rows and not varies:
        return last
    mask = plan.template(rows, like).fill_(-math.inf)
    along = plan.diagonals(mask)
    if added is None:
        along.zero_()
    else:
        own = added[min(block.b, added.shape[0] - 1), min(block.h, added.shape[1] - 1)]
        along.copy_(own if len(own) == 1 else own[block.queries])
    return mask


def gather_(dadded: Tensor, ds: Tensor, block: Block, plan: Plan) -> None:
    """Add a block's slopes to those of what was added to its scores, distance by distance."""
    template = ds
    if ds.shape[1] < len(ds) + plan.band.width - 1:  # the keys begin later than the window, or end earlier
        template = plan.template(len(ds), ds).zero_()
        template[:, block.columns] = ds
    along = plan.diagonals(template)
    own = dadded[min(block.b, dadded.shape[0] - 1), min(block.h, dadded.shape[1] - 1)]
    if len(own) == 1:
        own += along.sum(0, keepdim=True, dtype=own.dtype)
    else:
        own[block.queries] += along
