import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def draw(*parts: object) -> float:
    """A number in [0, 1) that depends on nothing but `parts`: the same on every machine and in every process."""
    digest = hashlib.blake2b("\x1f".join(str(part) for part in parts).encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def split_of(place: float) -> str:
    """The split of a `draw`: 80 % train, 10 % valid, 10 % test."""
    return "train" if place < 0.8 else "valid" if place < 0.9 else "test"


def shuffled(items: Iterable[Item], *seed: object, key: Callable[[Item], object] = str) -> list[Item]:
    """`items` in the order of a hash of `seed` and `key(item)`: taking one away leaves the others' order as it is."""
    return sorted(items, key=lambda item: draw(*seed, key(item)))
