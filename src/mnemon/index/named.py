import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from mnemon.config import Problem, nearest

Search = Callable[..., tuple[Tensor, Tensor]]
GIVEN = 4  # queries, keys, top_k and valid come with each search; what follows are options


def named(indexes: Mapping[str, Search], said: str) -> "partial[tuple[Tensor, Tensor]]":
    """The search that `NAME` or `NAME:option=number,option=number` describes; a `Problem` if there is none such."""
    name, _, listed = said.partition(":")
    if name not in indexes:
        raise Problem(f"{name!r}: no such index{nearest(name, list(indexes))}")
    known = list(inspect.signature(indexes[name]).parameters)[GIVEN:]
    options: dict[str, Any] = {}
    for part in filter(None, listed.split(",")):
        option, _, value = part.partition("=")
        if option not in known:
            raise Problem(f"index {said!r}: {name} has no option {option!r}{nearest(option, known) if known else ''}")
        if not value.isascii() or not value.isdigit() or not int(value):
            raise Problem(f"index {said!r}: {option} must be a whole number from 1 on, got {value!r}")
        options[option] = int(value)
    return partial(indexes[name], **options)
