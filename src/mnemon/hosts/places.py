from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from mnemon.config import Problem
from mnemon.hosts.namespaces import Namespaces
from mnemon.hosts.seam import uncompiled
from mnemon.hosts.support import Family, family


@dataclass
class Places:
    """Lets the learned positions of a host go on after the entries that each row sees; two hooks.

    Positions of that kind are in the hidden state, and with it in every remembered key: none can be given another
    place later. So here it is the text at hand that moves, for the policy "original".
    """

    family: Family
    source: Namespaces
    rows: int = 1

    @uncompiled
    def count(self, stack: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before the layers are run, by the module that embeds positions: how many rows there are."""
        tokens = args[0] if args else kwargs.get("input_ids")
        given = kwargs["inputs_embeds"] if tokens is None else tokens
        self.rows = len(given)

    @uncompiled
    def move(
        self, embedding: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Before the embedding of positions: each row's are moved."""
        before = [0 if store is None else len(store) for store in self.source.seen(self.rows)]
        if not any(before):
            return args, kwargs
        if "position_ids" in kwargs:
            return args, kwargs | {"position_ids": self._moved(embedding, kwargs["position_ids"], before)}
        return (self._moved(embedding, args[0], before), *args[1:]), kwargs

    def _moved(self, embedding: nn.Module, positions: Tensor, before: list[int]) -> Tensor:
        assert isinstance(embedding, nn.Embedding)
        moved = positions + torch.tensor(before, device=positions.device)[:, None]
        there = embedding.num_embeddings - self.family.offset
        if int(moved.max()) >= there:
            raise Problem(
                f'positions="original" needs place {int(moved.max())} after {max(before)} entries, and this host has '
                f"{there} places: choose other positions, or remember less"
            )
        return moved


def go_on(model: PreTrainedModel, source: Namespaces) -> list[RemovableHandle]:
    """Hooks that let a host's absolute positions go on after what each row sees, where it has such."""
    row = family(model)
    if row.places is None:
        return []
    moving = Places(row, source)
    (path,) = (path for path, _ in model.named_modules() if path.rpartition(".")[2] == row.places)
    stack, embedding = model.get_submodule(path.rpartition(".")[0]), model.get_submodule(path)
    return [
        stack.register_forward_pre_hook(moving.count, with_kwargs=True),
        embedding.register_forward_pre_hook(moving.move, with_kwargs=True),
    ]
