import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any

from torch import Tensor

from mnemon.config import Problem, nearest
from mnemon.index.base import StoreKind

Search = Callable[..., tuple[Tensor, Tensor]]
GIVEN = 4  # queries, keys, top_k and valid come with each search; what follows are options


def named(indexes: Mapping[str, Search], said: str, others: Iterable[str] = ()) -> "partial[tuple[Tensor, Tensor]]":
    """The search that `NAME` or `NAME:option=number,option=number` describes; a `Problem` if there is none such.

    `others`: names of what is no search, to propose with the indexes.
    """
    name = said.partition(":")[0]
    if name not in indexes:
        raise Problem(f"{name!r}: no such index{nearest(name, [*indexes, *others])}")
    known = list(inspect.signature(indexes[name]).parameters)[GIVEN:]
    options = {option: _number(said, option, value) for option, value in _options(said, known).items()}
    return partial(indexes[name], **options)


def chosen(kinds: Mapping[str, StoreKind], said: str) -> StoreKind:
    """The kind of store that `NAME` or `NAME:option=value,option=value` describes: its fields are the options."""
    kind = kinds[said.partition(":")[0]]
    types = {field.name: field.type for field in fields(kind)}
    options: dict[str, Any] = {
        option: value if types[option] is str else _number(said, option, value)
        for option, value in _options(said, list(types)).items()
    }
    return replace(kind, **options)


def _options(said: str, known: list[str]) -> dict[str, str]:
    """What stands behind the name, option by option."""
    name, _, listed = said.partition(":")
    options = {}
    for part in filter(None, listed.split(",")):
        option, _, value = part.partition("=")
        if option not in known:
            raise Problem(f"index {said!r}: {name} has no option {option!r}{nearest(option, known) if known else ''}")
        options[option] = value
    return options


def _number(said: str, option: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or not int(value):
        raise Problem(f"index {said!r}: {option} must be a whole number from 1 on, got {value!r}")
    return int(value)
