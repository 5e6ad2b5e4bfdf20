import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mnemon.hub.packing import Packed
from mnemon.model import Block, MemoryState, Output, Transformer
from mnemon.pools import Fresh


@dataclass(frozen=True)
class Piece:
    """What one call of the model gave: row b's tokens are `first[b]` to before `first[b] + fed[b]` of its text.

    `state` remembers them, by the commit of `update`. `layers`: what each layer was given, if asked for.
    """

    output: Output
    update: list[Fresh]
    state: MemoryState
    first: Int[Tensor, " b"]
    fed: Int[Tensor, " b"]
    layers: list[Float[Tensor, "b t e"]]


@dataclass(frozen=True)
class Reading:
    """What a text gave, under the columns of its batch. `hidden`: what each layer was given, if asked for, and `last`.

    `state` remembers the text; `updates` are the commits that made it so.
    """

    last: Float[Tensor, "b t e"]
    hidden: tuple[Float[Tensor, "b t e"], ...]
    penalty: Float[Tensor, ""]
    state: MemoryState
    updates: list[list[Fresh]]


def pieces(model: Transformer, packed: Packed, state: MemoryState, layers: bool = False) -> Iterator[Piece]:
    """Read a batch piece by piece, each row cut at its own segment boundaries, as it would be alone.

    `state` is written to where no gradient is taken. Else a copy is, once for each piece: `backward` gathers what the
    search of a piece found from the store that was searched, so that none may be written to before.
    """
    first = torch.zeros_like(packed.lengths)
    while True:
        fed = (packed.lengths - first).minimum(state.segment - state.phase)
        width = max(int(fed.max()), 1)  # one column of padding where a batch holds nothing at all
        index = (first[:, None] + torch.arange(width)).clamp(max=packed.tokens.shape[1] - 1)
        tokens = packed.tokens.gather(1, index.to(packed.tokens.device))
        with _watched(model.layers if layers else []) as given:
            output, update = model(tokens, state, None if bool((fed == width).all()) else fed)
        state = state.copied() if torch.is_grad_enabled() else state
        state.commit(update)
        yield Piece(output, update, state, first, fed, given)
        first = first + fed
        if bool((first >= packed.lengths).all()):
            return


@contextlib.contextmanager
def _watched(layers: list[Block]) -> Iterator[list[Tensor]]:
    """A list that gains what each of the layers is given, bottom first."""
    given: list[Tensor] = []
    hooks = [block.register_forward_pre_hook(lambda _, args: given.append(args[0])) for block in layers]
    try:
        yield given
    finally:
        for hook in hooks:
            hook.remove()


def read(model: Transformer, packed: Packed, state: MemoryState, layers: bool = False) -> Reading:
    """Read a batch and keep what every token gave."""
    found, place, width = [], torch.zeros(packed.tokens.shape, dtype=torch.long), 0
    for piece in pieces(model, packed, state, layers):
        found.append(piece)
        row, slot = (torch.arange(piece.output.hidden.shape[1]) < piece.fed[:, None]).nonzero(as_tuple=True)
        place[row, piece.first[row] + slot] = width + slot
        width += piece.output.hidden.shape[1]
    last = packed.columns([piece.output.hidden for piece in found], place)
    below = [packed.columns(list(parts), place) for parts in zip(*(piece.layers for piece in found), strict=True)]
    end = found[-1]
    hidden = (*below, last) if layers else ()
    return Reading(last, hidden, end.output.penalty, end.state, [piece.update for piece in found])
