from collections.abc import Callable
from typing import Any

from beartype import beartype


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """beartype for one function; `Self` stays unchecked, because beartype knows it only from a whole class."""
    hints = function.__annotations__
    function.__annotations__ = {name: hint for name, hint in hints.items() if "typing.Self" not in repr(hint)}
    return beartype(function)
